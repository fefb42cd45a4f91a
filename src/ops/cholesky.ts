/**
 * cholesky: the upper triangle R with A = Rᵀ R, of a symmetric matrix whose squares are positive; and solve_cholesky: the X with
 * Rᵀ R X = B.
 *
 *   cholesky         d = a[k, k] - sum over i < k of R[i, k]²
 *                    R[k, k] = root of d
 *                    R[k, j] = (a[k, j] - sum over i < k of R[i, k] R[i, j]) / R[k, k]     j > k
 *   solve_cholesky   Z[k] = -(B[k] + sum over i < k of R[i, k] Z[i]) / R[k, k]             k ascending
 *                    X[k] = -(Z[k] + sum over i > k of R[k, i] X[i]) / R[k, k]             k descending, and i
 *
 * Where d is not above 0, by rounding or because a unit says nothing that those before it do not, its row of R is 0, and so are its
 * rows of Z and X: the unit has no part in the solution. Sums are sequential, in the order of i; each product and each sum is
 * rounded.
 */
const { fround, sqrt } = Math

/** R. */
export function cholesky(
  factor: Float32Array, // [U, U], upper triangle; below it zeros
  a: Float32Array, // [U, U], of which the upper triangle is read
  U: number,
): void {
  for (let k = 0; k < U; k++) {
    factor.fill(0, k * U, k * U + k)
    for (let j = k; j < U; j++) {
      let rest = a[k * U + j]
      for (let i = 0; i < k; i++) rest = fround(rest - fround(factor[i * U + k] * factor[i * U + j]))
      factor[k * U + j] = rest
    }
    const square = factor[k * U + k]
    const pivot = square > 0 ? fround(sqrt(square)) : 0
    factor[k * U + k] = pivot
    for (let j = k + 1; j < U; j++) factor[k * U + j] = pivot > 0 ? factor[k * U + j] / pivot : 0
  }
}

/** X. */
export function solve_cholesky(
  x: Float32Array, // [U, D]
  b: Float32Array, // [U, D]
  factor: Float32Array, // [U, U], R; only its upper triangle is read
  U: number,
  D: number,
): void {
  const divide = (sum: number, k: number): number => {
    const pivot = factor[k * U + k]
    return pivot > 0 ? -fround(sum / pivot) : 0
  }
  for (let m = 0; m < D; m++) {
    for (let k = 0; k < U; k++) {
      let sum = b[k * D + m]
      for (let i = 0; i < k; i++) sum = fround(sum + fround(factor[i * U + k] * x[i * D + m]))
      x[k * D + m] = divide(sum, k)
    }
    for (let k = U - 1; k >= 0; k--) {
      let sum = x[k * D + m]
      for (let i = U - 1; i > k; i--) sum = fround(sum + fround(factor[k * U + i] * x[i * D + m]))
      x[k * D + m] = divide(sum, k)
    }
  }
}
