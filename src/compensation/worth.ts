/**
 * obs: what cannot be recovered of a unit, once all others make up for it (Hassibi and Stork 1993, "Second order derivatives for
 * network pruning: Optimal Brain Surgeon", with the output of one layer as the loss).
 *
 *   neuron:  |w|² / (C⁻¹)_jj
 *   head:    trace of W ((C⁻¹)_hh)⁻¹ Wᵀ       its K rows and columns of C⁻¹
 *
 * w, or W, is what the unit is multiplied by: its rows of the matrix that adds units up. C has λ mean(diag C) on its diagonal. In
 * float64.
 */
import { cholesky, solveCholesky } from '../criteria/cholesky.ts'

/**
 * The worth of each unit: [units], rounded to float32.
 * @param moments C: [N, N], symmetric
 * @param row of the matrix [N, D]; the next one may overwrite the last
 * @param size K, numbers of a unit
 * @param ridge λ, above 0
 * @throws UsageError MATRIX if λ is too small for rounded moments
 */
export function worthsOf(
  moments: Float64Array,
  row: (n: number) => Float32Array,
  size: number,
  ridge: number,
): Float32Array {
  const N = Math.sqrt(moments.length)
  const system = moments.slice()
  let diagonal = 0
  for (let n = 0; n < N; n++) diagonal += moments[n * N + n] / N
  // Units of a layer that was never active are worth nothing.
  if (diagonal === 0) return new Float32Array(N / size)
  for (let n = 0; n < N; n++) system[n * N + n] += ridge * diagonal
  const columns = inverseColumns(cholesky(system, N), N)
  return Float32Array.from({ length: N / size }, (_, unit) => {
    const first = unit * size
    const block = new Float64Array(size * size)
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++) {
        // (C⁻¹)_ij is the inner product of columns of the inverse of the factor, which begin at their own row.
        const [a, b] = [first + i, first + j]
        for (let k = Math.max(a, b); k < N; k++)
          block[i * size + j] += columns[a * N + k] * columns[b * N + k]
      }
    const rows = Array.from({ length: size }, (_, i) => row(first + i).slice())
    const D = rows[0].length
    const weight = Float64Array.from({ length: size * D }, (_, at) => rows[Math.floor(at / D)][at % D])
    const solved = solveCholesky(cholesky(block, size), weight, size)
    return solved.reduce((sum, value, at) => sum + value * weight[at], 0)
  })
}

/** The columns of the inverse of a lower triangle, side by side: column j at [j, j..]. */
function inverseColumns(factor: Float64Array, N: number): Float64Array {
  const columns = new Float64Array(N * N)
  for (let j = 0; j < N; j++)
    for (let i = j; i < N; i++) {
      let rest = i === j ? 1 : 0
      for (let k = j; k < i; k++) rest -= factor[i * N + k] * columns[j * N + k]
      columns[j * N + i] = rest / factor[i * N + i]
    }
  return columns
}
