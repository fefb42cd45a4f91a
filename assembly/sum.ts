/**
 * sum: total += sum(x), striped.
 */
import { sum as stripedSum } from './float32'

export function sum(
  total: usize, // [1]
  x: usize, // [N]
  N: i32,
): void {
  store<f32>(total, load<f32>(total) + stripedSum(x, N))
}
