/**
 * sum: adds the sum of N numbers to a total, striped. It reads memory once, forward, and does with each number the least
 * that makes reading it necessary: how fast it runs over more numbers than any cache holds is how fast memory is read.
 */
import { sum as stripedSum } from './float32.ts'

/** total += sum_n x[n]. */
export function sum(
  total: Float32Array, // [1]
  x: Float32Array, // [N]
  N: number,
): void {
  total[0] += stripedSum(x, 0, N)
}
