/**
 * The determinant of a small matrix by Gaussian elimination with exchange of rows: the long way, to judge the short one.
 */

/** The determinant of an [N, N] matrix. */
export function determinant(matrix: Float64Array, N: number): number {
  const a = matrix.slice()
  let product = 1
  for (let column = 0; column < N; column++) {
    let pivot = column
    for (let row = column; row < N; row++)
      if (Math.abs(a[row * N + column]) > Math.abs(a[pivot * N + column])) pivot = row
    if (a[pivot * N + column] === 0) return 0
    for (let k = 0; k < N; k++) [a[column * N + k], a[pivot * N + k]] = [a[pivot * N + k], a[column * N + k]]
    product *= (pivot === column ? 1 : -1) * a[column * N + column]
    for (let row = column + 1; row < N; row++) {
      const factor = a[row * N + column] / a[column * N + column]
      for (let k = column; k < N; k++) a[row * N + k] -= factor * a[column * N + k]
    }
  }
  return product
}
