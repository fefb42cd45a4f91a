/**
 * What takes the place of skipped units while a model runs: their mean, or least squares of the kept ones (fold.ts has the formula,
 * and folds in float64 what is written to a file).
 *
 *   C = (1 - α) C of the calibration + α mean over the tokens of the prompt of a aᵀ
 *
 *   system  C_KK + λ mean(diag C) I = Rᵀ R       cholesky
 *   right   C_KS W_S                             W: [N, D], a row for each number of a unit
 *   X       Rᵀ R X = right                       solve_cholesky; kept rows become W_K + X
 *
 * The prompt's part of C is never formed as a whole: with its kept columns A_K [T, K] it adds A_Kᵀ A_K to the system and
 * A_Kᵀ (A_S W_S) to the right side. In float32, by operations of the catalogue on the backend that holds the layer.
 */
import { BufferScope } from '../backends/buffer_scope.ts'
import type { Compensation, CompensationName, Folded, FoldedMatrix } from '../masks/compensation.ts'
import { DEFAULT_RIDGE } from '../masks/compensation.ts'
import type { HeldMoments } from './held_moments.ts'

/** What a method says of its compensation. */
export interface CompensationSettings {
  readonly by: Exclude<CompensationName, 'none'>
  /** λ; default `DEFAULT_RIDGE`. */
  readonly ridge?: number
  /** α; default 0. */
  readonly promptShare?: number
}

/** Made once for each of these settings, so that a mask that is known is folded once. */
const made = new WeakMap<HeldMoments, Map<string, Compensation>>()

/** A compensation by these moments. The same settings give the same one. */
export function compensationBy(moments: HeldMoments, settings: CompensationSettings): Compensation {
  const { by, ridge = DEFAULT_RIDGE, promptShare = 0 } = settings
  const known = made.get(moments) ?? new Map<string, Compensation>()
  made.set(moments, known)
  const key = `${by} ${ridge} ${promptShare}`
  const found = known.get(key)
  if (found) return found
  const seesPrompt = promptShare > 0
  const fold = (matrix: FoldedMatrix): Folded =>
    by === 'mean' ? addMean(moments, promptShare, matrix) : leastSquares(moments, ridge, promptShare, matrix)
  const own = { seesPrompt, fold: seesPrompt ? fold : once(fold) }
  known.set(key, own)
  return own
}

/** What was folded last of each matrix is remembered. */
function once(fold: Compensation['fold']): Compensation['fold'] {
  const last = new Map<string, { readonly kept: Int32Array; readonly folded: Folded }>()
  return (matrix) => {
    const key = `${matrix.kind} ${matrix.layer}`
    const known = last.get(key)
    const { kept } = matrix
    if (known?.kept.length === kept.length && known.kept.every((n, i) => n === kept[i])) return known.folded
    const folded = fold(matrix)
    last.set(key, { kept, folded })
    return folded
  }
}

/** The mean of a function of the prompt's numbers, for each of N. */
function meanOf(prompt: Float32Array, N: number, of: (value: number) => number): Float64Array {
  const T = prompt.length / N
  const sums = new Float64Array(N)
  for (let at = 0; at < prompt.length; at++) sums[at % N] += of(prompt[at]) / T
  return sums
}

const square = (value: number): number => value * value

/** Lists of the calibration and of the prompt, by their shares. */
function share(own: Float64Array, prompt: Float64Array | null, promptShare: number): Float64Array {
  return prompt ? own.map((value, n) => (1 - promptShare) * value + promptShare * prompt[n]) : own
}

function addMean(moments: HeldMoments, promptShare: number, matrix: FoldedMatrix): Folded {
  const { backend, kind, layer, weight, skipped, prompt } = matrix
  const [N, D] = weight.shape
  const w = moments.weights(kind, layer, prompt && meanOf(prompt, N, square))
  const shown = prompt && meanOf(prompt, N, (value) => value)
  const means = share(moments.mixed(kind, layer, 'means', w), shown, promptShare)
  const scope = new BufferScope(backend)
  try {
    const bias = scope.allocate('f32', [1, D], 'anything')
    const x = scope.upload(Float32Array.from(means), [1, N])
    backend.ops.linear_input_major(bias, x, weight, null, scope.upload(skipped))
    return { rows: null, bias: backend.readF32(bias) }
  } finally {
    scope.dispose()
  }
}

function leastSquares(
  moments: HeldMoments,
  ridge: number,
  promptShare: number,
  { backend, kind, layer, weight, kept, skipped, prompt }: FoldedMatrix,
): Folded {
  const [N, D] = weight.shape
  const K = kept.length
  const shown = prompt && meanOf(prompt, N, square)
  const w = moments.weights(kind, layer, shown)
  const squares = share(moments.mixed(kind, layer, 'squares', w), shown, promptShare)
  const penalty = ridge * squares.reduce((sum, value) => sum + value / N, 0)
  if (K === 0 || penalty === 0) return { rows: null, bias: null }

  const rows = moments.rows(kind, layer, kept, w, prompt ? 1 - promptShare : 1)
  const system = new Float32Array(K * K)
  for (let i = 0; i < K; i++) {
    for (let j = 0; j < K; j++) system[i * K + j] = rows[i * N + kept[j]]
    system[i * K + i] += penalty
  }
  const { ops } = backend
  const scope = new BufferScope(backend)
  try {
    const factor = scope.upload(system, [K, K])
    const x = scope.allocate('f32', [K, D], 'anything')
    const others = scope.upload(skipped)
    ops.linear_input_major(x, scope.upload(rows, [K, N]), weight, null, others)
    if (prompt && promptShare > 0) {
      const T = prompt.length / N
      const by = Math.sqrt(promptShare / T)
      const scaled = prompt.map((value) => by * value)
      const a = scope.upload(
        Float32Array.from({ length: T * K }, (_, at) => scaled[Math.floor(at / K) * N + kept[at % K]]),
        [T, K],
      )
      const rest = scope.allocate('f32', [T, D], 'anything')
      ops.linear_input_major(rest, scope.upload(scaled, [T, N]), weight, null, others)
      ops.linear_backward_weight(factor, a, a, null)
      ops.linear_backward_weight(x, a, rest, null)
    }
    ops.cholesky(factor, factor)
    ops.solve_cholesky(x, x, factor)
    return { rows: backend.readF32(x), bias: null }
  } finally {
    scope.dispose()
  }
}
