/**
 * Skipped units folded into kept ones, so that a mask costs less than with zeros in their place.
 *
 * The units of a layer give N numbers a at a token, one for each neuron, or K for each head. A mask keeps some of them (K) and
 * skips the others (S). What the kept ones say of the skipped ones is linear least squares over the tokens of a calibration:
 *
 *   C   = sum over tokens of b bᵀ                      [N, N]; b is a, and of neurons a / its root mean square (moments.ts)
 *   B   = C_SK (C_KK + λ mean(diag C) I)⁻¹             a_S ~ B a_K
 *   W a ~ W_K a_K + W_S B a_K                          W: the matrix that adds the units up, [D, N]
 *
 * So the columns of kept units become W_K + W_S B, and a token costs no more than before. B itself is not formed: X = W_S B solves
 * X (C_KK + λ mean(diag C) I) = W_S C_SK. Heads are compensated as blocks of K numbers by the same formula, whether or not they
 * share keys. There is no constant term, so models without biases keep their form.
 *
 * λ is above 0: units that were never active have rows of zeros in C, and the matrix would have no inverse. Such a unit keeps its
 * column. In float64; the sum is rounded to float32 once, and where X is zero W_K keeps its bits.
 */
import { cholesky, solveCholesky } from '../criteria/cholesky.ts'

/**
 * The matrix whose kept columns stand for the skipped ones too.
 * @param weight [D, N], as Hugging Face stores it; not changed
 * @param moments C: [N, N], symmetric; only ratios of its numbers matter
 * @param kept columns, ascending, below N
 * @param ridge λ, from 0
 * @returns [D, N]; the columns that are not kept are as they were
 * @throws UsageError MATRIX if the matrix to be inverted is not positive definite: λ is too small
 */
export function foldSkipped(
  weight: Float32Array,
  moments: Float64Array,
  kept: Int32Array,
  ridge: number,
): Float32Array {
  const N = Math.sqrt(moments.length)
  const [D, K] = [weight.length / N, kept.length]
  const folded = weight.slice()
  const skipped = columnsBeside(kept, N)
  let diagonal = 0
  for (let n = 0; n < N; n++) diagonal += moments[n * N + n] / N
  if (K === 0 || skipped.length === 0 || diagonal === 0) return folded

  const system = new Float64Array(K * K)
  for (let i = 0; i < K; i++) {
    for (let j = 0; j < K; j++) system[i * K + j] = moments[kept[i] * N + kept[j]]
    system[i * K + i] += ridge * diagonal
  }
  // (W_S C_SK)ᵀ: a row for each kept column, so that inner loops run over neighbouring numbers.
  const turned = new Float64Array(N * D)
  for (let d = 0; d < D; d++) for (let n = 0; n < N; n++) turned[n * D + d] = weight[d * N + n]
  const right = new Float64Array(K * D)
  for (let i = 0; i < K; i++)
    for (const s of skipped) {
      const factor = moments[s * N + kept[i]]
      if (factor !== 0) for (let d = 0; d < D; d++) right[i * D + d] += factor * turned[s * D + d]
    }
  const added = solveCholesky(cholesky(system, K), right, K)
  for (let i = 0; i < K; i++)
    for (let d = 0; d < D; d++) {
      const at = d * N + kept[i]
      const more = added[i * D + d]
      if (more !== 0) folded[at] = weight[at] + more
    }
  return folded
}

/** The columns that are not among these. */
function columnsBeside(kept: Int32Array, N: number): number[] {
  const isKept = new Set(kept)
  return Array.from({ length: N }, (_, n) => n).filter((n) => !isKept.has(n))
}
