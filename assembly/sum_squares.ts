/**
 * sum_squares: total += sum(x^2), striped.
 */
import { dot } from './float32'

export function sum_squares(
  total: usize, // [1]
  x: usize, // [N]
  N: i32,
): void {
  store<f32>(total, load<f32>(total) + dot<f32>(x, x, N))
}
