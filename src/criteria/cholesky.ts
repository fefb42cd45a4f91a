/**
 * The Cholesky factor of a small symmetric positive definite matrix, the logarithm of its determinant, the trace of its
 * inverse, and equations with it.
 *
 * With both, functions of all eigenvalues such as sum(log v + 1/v) need no eigenvalues. In float64; the logarithms are
 * of ops/float32.ts, because engines round Math.log differently.
 */
import { log } from '../ops/float32.ts'
import { UsageError } from '../tensor/errors.ts'

/**
 * The lower triangle G with A = G Gᵀ.
 * @param matrix [N, N], symmetric; only its lower triangle is read
 * @returns [N, N], zero above the diagonal
 * @throws UsageError MATRIX if it is not positive definite
 */
export function cholesky(matrix: Float64Array, N: number): Float64Array {
  const factor = new Float64Array(N * N)
  for (let i = 0; i < N; i++)
    for (let j = 0; j <= i; j++) {
      let rest = matrix[i * N + j]
      for (let k = 0; k < j; k++) rest -= factor[i * N + k] * factor[j * N + k]
      if (i > j) factor[i * N + j] = rest / factor[j * N + j]
      else if (rest > 0) factor[i * N + i] = Math.sqrt(rest)
      else throw new UsageError('MATRIX', `matrix: expected positive definite, got pivot ${rest} in row ${i}`)
    }
  return factor
}

/**
 * The solutions X of A X = B, from the factor of A: a column for each column of B.
 * @param B [N, M]; not changed
 * @param N rows; default: those of one column
 */
export function solveCholesky(factor: Float64Array, B: Float64Array, N: number = B.length): Float64Array {
  const M = B.length / N
  const X = B.slice()
  const subtract = (i: number, factorOf: number, k: number): void => {
    for (let m = 0; m < M; m++) X[i * M + m] -= factorOf * X[k * M + m]
  }
  const divide = (i: number): void => {
    for (let m = 0; m < M; m++) X[i * M + m] /= factor[i * N + i]
  }
  for (let i = 0; i < N; i++) {
    for (let k = 0; k < i; k++) subtract(i, factor[i * N + k], k)
    divide(i)
  }
  for (let i = N - 1; i >= 0; i--) {
    for (let k = i + 1; k < N; k++) subtract(i, factor[k * N + i], k)
    divide(i)
  }
  return X
}

/** ln det A, from its factor. */
export function logDeterminant(factor: Float64Array, N: number): number {
  let total = 0
  for (let i = 0; i < N; i++) total += 2 * log(Math.fround(factor[i * N + i]))
  return total
}

/** The trace of the inverse of A, from its factor: the sum of squares of the inverse of G. */
export function inverseTrace(factor: Float64Array, N: number): number {
  const column = new Float64Array(N)
  let total = 0
  for (let j = 0; j < N; j++)
    for (let i = j; i < N; i++) {
      let rest = i === j ? 1 : 0
      for (let k = j; k < i; k++) rest -= factor[i * N + k] * column[k]
      column[i] = rest / factor[i * N + i]
      total += column[i] * column[i]
    }
  return total
}
