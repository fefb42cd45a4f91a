/**
 * What takes the place of skipped units while a model runs: their mean, or least squares of the kept ones (fold.ts has the formula,
 * and folds in float64 what is written to a file).
 *
 *   C = (1 - α) C of the calibration + α mean over the tokens of the prompt of b bᵀ
 *
 *   system  C_KK + λ mean(diag C) I = Rᵀ R       cholesky
 *   right   (C W)_K + λ mean(diag C) W_K         W: [N, D], a row for each number of a unit; known_products.ts
 *   X       Rᵀ R X = right                       solve_cholesky; kept rows become X
 *
 * That is W_K + (C_KK + λ mean(diag C) I)⁻¹ C_KS W_S, without the product of C_KS, which would be made anew for each mask. The
 * prompt's part of C is never formed as a whole: with the b of its tokens (moments.ts) as A [T, N] it adds A_Kᵀ A_K to the system and
 * A_Kᵀ (A W) to the right side. In float32, by operations of the catalogue on the backend that holds the layer. Where C_KS is 0,
 * rows keep their bits.
 */
import type { Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { Compensation, CompensationName, Folded, FoldedMatrix } from '../masks/compensation.ts'
import { DEFAULT_RIDGE } from '../masks/compensation.ts'
import type { HeldMoments } from './held_moments.ts'
import { KnownProducts } from './known_products.ts'
import { sized } from './moments.ts'
import { remembered } from '../tensor/records.ts'

/** What a method says of its compensation. */
export interface CompensationSettings {
  readonly by: Exclude<CompensationName, 'none'>
  /** λ; default `DEFAULT_RIDGE`. */
  readonly ridge?: number
  /** α; default 0. */
  readonly promptShare?: number
}

/** What was made of some moments. */
interface Made {
  /** By their settings, so that a mask that is known is folded once. */
  readonly compensations: Map<string, Compensation>
  /** By λ. */
  readonly products: Map<number, KnownProducts>
}
const made = new WeakMap<HeldMoments, Made>()

/** A compensation by these moments. The same settings give the same one. */
export function compensationBy(moments: HeldMoments, settings: CompensationSettings): Compensation {
  const { by, ridge = DEFAULT_RIDGE, promptShare = 0 } = settings
  const { compensations, products } = remembered(made, moments, () => {
    return { compensations: new Map(), products: new Map() }
  })
  return remembered(compensations, `${by} ${ridge} ${promptShare}`, () => {
    const seesPrompt = promptShare > 0
    const known = remembered(products, ridge, () => new KnownProducts(moments, ridge))
    const fold = (matrix: FoldedMatrix): Folded =>
      by === 'mean'
        ? addMean(moments, promptShare, matrix)
        : leastSquares(moments, known, ridge, promptShare, matrix)
    return { seesPrompt, fold: seesPrompt ? fold : once(fold) }
  })
}

/** What was folded last of each matrix is remembered. */
function once(fold: Compensation['fold']): Compensation['fold'] {
  const last = new WeakMap<object, { readonly kept: Int32Array; readonly folded: Folded }>()
  return (matrix) => {
    const { of, kept } = matrix
    const known = last.get(of)
    if (known?.kept.length === kept.length && known.kept.every((n, i) => n === kept[i])) return known.folded
    const folded = fold(matrix)
    last.set(of, { kept, folded })
    return folded
  }
}

/** The mean of a function of the prompt's numbers, for each of N. */
function meanOf(prompt: Float32Array, N: number, of: (value: number) => number): Float64Array {
  const T = prompt.length / N
  const sums = new Float64Array(N)
  for (let start = 0; start < prompt.length; start += N)
    for (let n = 0; n < N; n++) sums[n] += of(prompt[start + n]) / T
  return sums
}

const square = (value: number): number => value * value

/** Lists of the calibration and of the prompt, by their shares. */
function share(own: Float64Array, prompt: Float64Array | null, promptShare: number): Float64Array {
  return prompt ? own.map((value, n) => (1 - promptShare) * value + promptShare * prompt[n]) : own
}

function addMean(moments: HeldMoments, promptShare: number, matrix: FoldedMatrix): Folded {
  const { backend, kind, layer, weight, skipped, prompt } = matrix
  const [N, D] = matrix.shape
  const b = sizedPrompt(matrix)
  const w = moments.weights(kind, layer, b && meanOf(b, N, square))
  const shown = prompt && meanOf(prompt, N, (value) => value)
  const means = share(moments.mixed(kind, layer, 'means', w), shown, promptShare)
  const scope = new BufferScope(backend)
  try {
    const bias = scope.allocate('f32', [1, D], 'anything')
    const x = scope.upload(Float32Array.from(means), [1, N])
    backend.ops.linear_input_major(bias, x, weight(), null, scope.upload(skipped))
    return { rows: null, bias: backend.readF32(bias) }
  } finally {
    scope.dispose()
  }
}

function leastSquares(
  moments: HeldMoments,
  known: KnownProducts,
  ridge: number,
  promptShare: number,
  matrix: FoldedMatrix,
): Folded {
  const { backend, kind, layer, kept, skipped } = matrix
  const [N, D] = matrix.shape
  const K = kept.length
  const prompt = sizedPrompt(matrix)
  const shown = prompt && meanOf(prompt, N, square)
  const w = moments.weights(kind, layer, shown)
  const squares = share(moments.mixed(kind, layer, 'squares', w), shown, promptShare)
  const penalty = ridge * squares.reduce((sum, value) => sum + value / N, 0)
  const isApart = !prompt && moments.areApart(kind, layer, kept, skipped)
  if (K === 0 || penalty === 0 || isApart) return { rows: null, bias: null }

  const factor = prompt ? 1 - promptShare : 1
  const { ops } = backend
  const scope = new BufferScope(backend)
  try {
    const a = scope.allocate('f32', [K, K], 'anything')
    moments.triangle(kind, layer, kept, w, factor, penalty, (rows, start) => backend.write(a, rows, start))
    const x = scope.allocate('f32', [K, D], 'anything')
    known.write(x, matrix, w, factor)
    if (prompt && shown) {
      const more = ridge * promptShare * shown.reduce((sum, value) => sum + value / N, 0)
      addPrompt(scope, matrix, prompt, promptShare, more, a, x)
    }
    ops.cholesky(a, a)
    ops.solve_cholesky(x, x, a)
    return { rows: backend.readF32(x), bias: null }
  } finally {
    scope.dispose()
  }
}

/** The b of the tokens of the prompt: [T, N]. */
function sizedPrompt({ backend, kind, shape: [N], prompt }: FoldedMatrix): Float32Array | null {
  if (!prompt) return null
  return BufferScope.within(backend, (scope) =>
    backend.readF32(sized(scope, kind, scope.upload(prompt, [prompt.length / N, N]))),
  )
}

/**
 * Adds α / T A_Kᵀ A_K to a system and α / T A_Kᵀ (A W) + p W_K to its right side.
 * @param promptShare α
 * @param penalty p, the prompt's part of what the diagonal of the system has besides
 */
function addPrompt(
  scope: BufferScope,
  { weight, kept, shape: [N, D] }: FoldedMatrix,
  prompt: Float32Array,
  promptShare: number,
  penalty: number,
  system: Buffer,
  right: Buffer,
): void {
  const { backend } = scope
  const { ops } = backend
  const [T, K] = [prompt.length / N, kept.length]
  const by = promptShare / T
  const own = new Float32Array(T * K)
  for (let t = 0; t < T; t++) for (let k = 0; k < K; k++) own[t * K + k] = prompt[t * N + kept[k]]
  const a = scope.upload(own, [T, K])
  for (let at = 0; at < own.length; at++) own[at] *= by
  const scaled = scope.upload(own, [T, K])
  const products = scope.allocate('f32', [T, D], 'anything')
  ops.linear_input_major(products, scope.upload(prompt, [T, N]), weight(), null, null)
  ops.linear_backward_weight(system, scaled, a, null)
  ops.linear_backward_weight(right, scaled, products, null)
  const rows = scope.allocate('f32', [K, D], 'anything')
  ops.copy_rows(rows, weight(), null, scope.upload(kept))
  const more = backend.view(rows, [1, K * D])
  ops.mask_units(more, more, scope.upload(new Float32Array(K).fill(penalty)))
  ops.add(right, right, rows)
}
