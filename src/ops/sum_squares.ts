/**
 * sum_squares: adds the sum of the squares of N numbers to a total, striped. Over several tensors in turn it gives the
 * square of their common norm, which gradient clipping compares with its limit.
 */
import { dot } from './float32.ts'

/** total += sum_n x[n]^2. */
export function sum_squares(
  total: Float32Array, // [1]
  x: Float32Array, // [N]
  N: number,
): void {
  total[0] += dot(x, 0, x, 0, N)
}
