/**
 * Moments of one text, or of several that are mixed, in memory: what compensation and scores are made from while a model runs.
 *
 * Texts are mixed layer by layer, by how well their mean squares explain those of the prompt: weights w from 0 that add up to 1 and make
 *
 *   sum over n of ((p[n] - sum over texts m of w[m] s[m, n]) / mean over m of s[m, n])²
 *
 * least, where p are the mean squares of the prompt and s those of the texts. Where the prompt has no share, they have equal weights.
 */
import type { UnitKind, UnitShape } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import { concatenate } from '../tensor/concatenate.ts'
import type { MomentTables } from './moments.ts'

/** What a correlation of 1 is stored as. */
export const ONE = 32_767

/** The moments of the units of a layer, as a file has them (moments_file.ts). */
export interface UnitMoments {
  readonly means: Float32Array // [N]
  readonly squares: Float32Array // [N]
  readonly correlations: Int16Array // [N (N - 1) / 2]
  readonly worths: Float32Array // [units]
}

/** What is kept of sums over so many tokens. */
export function summarize(
  { first, second: sums }: MomentTables<Float32Array>,
  tokens: number,
): Omit<UnitMoments, 'worths'> {
  const N = Math.sqrt(sums.length)
  const roots = Float64Array.from({ length: N }, (_, i) => Math.sqrt(sums[i * N + i]))
  const correlations = new Int16Array((N * (N - 1)) / 2)
  let at = 0
  for (let i = 0; i < N; i++)
    for (let j = 0; j < i; j++, at++) {
      const size = roots[i] * roots[j]
      // The sums are rounded, so that a correlation of 1 may lie above it.
      if (size > 0) correlations[at] = Math.round(ONE * Math.max(-1, Math.min(1, sums[i * N + j] / size)))
    }
  return {
    means: first.map((sum) => sum / tokens),
    squares: Float32Array.from({ length: N }, (_, i) => sums[i * N + i] / tokens),
    correlations,
  }
}

/** Those of one text: [L]. */
type TextMoments = Readonly<Record<UnitKind, readonly UnitMoments[]>>

/** Rows of a triangle that are made at a time, and columns of those. */
const STRIP = 64
const SIDE = 16

/** Steps towards the weights of texts; each is exact on its line, and there are few texts. */
const STEPS = 200

/** See the head of this file. */
export class HeldMoments {
  readonly shape: UnitShape
  readonly texts: readonly TextMoments[]

  constructor(shape: UnitShape, texts: readonly TextMoments[]) {
    this.shape = shape
    this.texts = texts
  }

  /** What cannot be recovered of each unit and those worth less: the mean over texts. */
  get worths(): UnitScores {
    const mean = (kind: UnitKind): Float32Array => {
      const [first, ...others] = this.texts.map((text) =>
        concatenate(
          Float32Array,
          text[kind].map(({ worths }) => worths),
        ),
      )
      return first.map((value, i) => others.reduce((sum, one) => sum + one[i], value) / this.texts.length)
    }
    return { shape: this.shape, heads: mean('heads'), neurons: mean('neurons') }
  }

  /** The weight of each text. @param squares mean squares of the prompt; null without one */
  weights(kind: UnitKind, layer: number, squares: ArrayLike<number> | null): Float64Array {
    const texts = this.texts.map((text) => text[kind][layer].squares)
    const M = texts.length
    const w = new Float64Array(M).fill(1 / M)
    if (M === 1 || squares === null) return w
    const N = texts[0].length
    const scale = Float64Array.from({ length: N }, (_, n) => texts.reduce((sum, s) => sum + s[n] / M, 0))
    const scaled = (values: ArrayLike<number>): Float64Array =>
      scale.map((by, n) => (by > 0 ? values[n] / by : 0))
    const s = texts.map(scaled)
    const rest = scaled(squares).map((p, n) => p - s.reduce((sum, one, m) => sum + w[m] * one[n], 0))
    const inner = (a: Float64Array, b: Float64Array): number =>
      a.reduce((sum, value, n) => sum + value * b[n], 0)
    // From the text that explains least of what is left, weight goes to the one that explains most.
    for (let step = 0; step < STEPS; step++) {
      const slopes = s.map((one) => inner(one, rest))
      const best = slopes.indexOf(Math.max(...slopes))
      const worst = slopes.reduce((to, slope, m) => (w[m] > 0 && slope < slopes[to] ? m : to), best)
      const way = s[best].map((value, n) => value - s[worst][n])
      const size = inner(way, way)
      if (worst === best || size === 0) break
      const by = Math.min(w[worst], inner(way, rest) / size)
      w[best] += by
      w[worst] -= by
      for (let n = 0; n < N; n++) rest[n] -= by * way[n]
    }
    return w
  }

  /** A list of the texts, mixed: [N]. */
  mixed(kind: UnitKind, layer: number, name: 'means' | 'squares', w: Float64Array): Float64Array {
    const lists = this.texts.map((text) => text[kind][layer][name])
    const mixed = new Float64Array(lists[0].length)
    for (const [m, list] of lists.entries()) for (let n = 0; n < mixed.length; n++) mixed[n] += w[m] * list[n]
    return mixed
  }

  /** Rows of C, mixed, times a factor: [K, N]. */
  rows(kind: UnitKind, layer: number, chosen: Int32Array, w: Float64Array, factor: number): Float32Array {
    const N = this.texts[0][kind][layer].squares.length
    const rows = new Float32Array(chosen.length * N)
    this.texts.forEach((text, m) => {
      if (w[m] === 0) return
      const { squares, correlations } = text[kind][layer]
      const roots = Float64Array.from(squares, Math.sqrt)
      for (let k = 0; k < chosen.length; k++) {
        const i = chosen[k]
        const by = (factor * w[m] * roots[i]) / ONE
        const start = (i * (i - 1)) / 2
        const to = k * N
        for (let n = 0; n < i; n++) rows[to + n] += by * correlations[start + n] * roots[n]
        rows[to + i] += factor * w[m] * squares[i]
        for (let n = i + 1, at = start + 2 * i; n < N; at += n, n++)
          rows[to + n] += by * correlations[at] * roots[n]
      }
    })
    return rows
  }

  /**
   * What `rows` has of the same columns, on the diagonal and above it, and zeros below it: [K, K], some rows at a time.
   * @param added to the diagonal
   * @param take is given rows, good until it returns, and the place of their first number
   */
  triangle(
    kind: UnitKind,
    layer: number,
    chosen: Int32Array,
    w: Float64Array,
    factor: number,
    added: number,
    take: (rows: Float32Array, start: number) => void,
  ): void {
    const K = chosen.length
    const starts = chosen.map((i) => (i * (i - 1)) / 2)
    const texts = this.texts.map((text) => {
      const { squares, correlations } = text[kind][layer]
      return { squares, correlations, roots: Float64Array.from(chosen, (i) => Math.sqrt(squares[i])) }
    })
    const strip = new Float32Array(Math.min(K, STRIP) * K)
    for (let top = 0; top < K; top += STRIP) {
      const bottom = Math.min(top + STRIP, K)
      strip.fill(0)
      for (const [m, { squares, correlations, roots }] of texts.entries()) {
        const by = factor * w[m]
        if (by === 0) continue
        // Columns of the triangle are rows of the file: some at a time, so that both are read and written side by side.
        for (let first = top; first < K; first += SIDE) {
          const end = Math.min(first + SIDE, K)
          for (let i = top; i < Math.min(end, bottom); i++) {
            const own = (by * roots[i]) / ONE
            const [at, to] = [chosen[i], (i - top) * K]
            for (let j = Math.max(first, i + 1); j < end; j++)
              strip[to + j] += own * correlations[starts[j] + at] * roots[j]
          }
        }
        for (let i = top; i < bottom; i++) strip[(i - top) * K + i] += by * squares[chosen[i]]
      }
      for (let i = top; i < bottom; i++) strip[(i - top) * K + i] += added
      take(strip.subarray(0, (bottom - top) * K), top * K)
    }
  }

  /** Whether none of these numbers says anything of one of the others, in any text; both lists ascend. */
  areApart(kind: UnitKind, layer: number, kept: Int32Array, others: Int32Array): boolean {
    return this.texts.every((text) => {
      const { correlations } = text[kind][layer]
      return kept.every((i) =>
        others.every((j) => {
          const [low, high] = i < j ? [i, j] : [j, i]
          return correlations[(high * (high - 1)) / 2 + low] === 0
        }),
      )
    })
  }
}

/** Several texts of one model as one. */
export function mixMoments(all: readonly HeldMoments[]): HeldMoments {
  return new HeldMoments(
    all[0].shape,
    all.flatMap(({ texts }) => texts),
  )
}
