/**
 * The right sides of least squares, of units that were kept before: they depend on the mask by its rows alone.
 *
 *   (C_KK + λ mean(diag C) I) (W_K + X) = (C_KK + λ mean(diag C) I) W_K + C_KS W_S     X: what is added to the kept rows
 *                                       = (C W)_K + λ mean(diag C) W_K
 *
 * So a row is the same under each mask that keeps its unit. It is made when the first one does, for each text and matrix, and
 * held: up to N D numbers, 3.5 MB for a layer of 1,536 neurons and width 576.
 */
import type { Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { FoldedMatrix } from '../masks/compensation.ts'
import type { HeldMoments } from './held_moments.ts'
import { remembered } from '../tensor/records.ts'

/** Rows that are written at a time. */
const STRIP = 64

/** Rows of one text and matrix. */
interface KnownRows {
  readonly rows: Float32Array // [N, D]
  /** 1 where a row was made. */
  readonly isKnown: Uint8Array // [N]
}

/** See the head of this file. */
export class KnownProducts {
  readonly #moments: HeldMoments
  readonly #ridge: number
  readonly #known = new WeakMap<object, KnownRows[]>() // [texts]

  /** @param ridge λ */
  constructor(moments: HeldMoments, ridge: number) {
    this.#moments = moments
    this.#ridge = ridge
  }

  /**
   * Writes the rows of what is kept, of texts with these weights, times a factor.
   * @param to [K, D], on the backend of the matrix
   * @param w see `HeldMoments.weights`
   */
  write(to: Buffer, matrix: FoldedMatrix, w: Float64Array, factor: number): void {
    const {
      backend,
      of,
      kept,
      shape: [N, D],
    } = matrix
    const known = remembered(this.#known, of, () => Array.from(w, () => emptyRows(N, D)))
    const texts = known.map((text, m) => ({ text, m, by: factor * w[m] })).filter(({ by }) => by !== 0)
    for (const { text, m } of texts) this.#make(text, m, matrix)
    const strip = new Float32Array(STRIP * D)
    for (let top = 0; top < kept.length; top += STRIP) {
      const rows = kept.subarray(top, top + STRIP)
      strip.fill(0)
      for (const { text, by } of texts)
        for (const [k, n] of rows.entries())
          if (by === 1) strip.set(text.rows.subarray(n * D, (n + 1) * D), k * D)
          else for (let d = 0; d < D; d++) strip[k * D + d] += by * text.rows[n * D + d]
      backend.write(to, strip.subarray(0, rows.length * D), top * D)
    }
  }

  /** Makes the rows that are not known, of text m. */
  #make(
    { rows, isKnown }: KnownRows,
    m: number,
    { backend, kind, layer, kept, shape: [N, D], weight }: FoldedMatrix,
  ): void {
    const fresh = kept.filter((n) => isKnown[n] === 0)
    if (fresh.length === 0) return
    const alone = Float64Array.from(this.#moments.texts, (_, text) => Number(text === m))
    const moments = this.#moments.rows(kind, layer, fresh, alone, 1)
    const squares = this.#moments.mixed(kind, layer, 'squares', alone)
    const penalty = this.#ridge * squares.reduce((sum, value) => sum + value / N, 0)
    fresh.forEach((n, k) => (moments[k * N + n] += penalty))
    const scope = new BufferScope(backend)
    try {
      const made = scope.allocate('f32', [fresh.length, D], 'anything')
      backend.ops.linear_input_major(made, scope.upload(moments, [fresh.length, N]), weight(), null, null)
      const values = backend.readF32(made)
      fresh.forEach((n, k) => {
        rows.set(values.subarray(k * D, (k + 1) * D), n * D)
        isKnown[n] = 1
      })
    } finally {
      scope.dispose()
    }
  }
}

function emptyRows(N: number, D: number): KnownRows {
  return { rows: new Float32Array(N * D), isKnown: new Uint8Array(N) }
}
