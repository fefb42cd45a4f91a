/**
 * add: y = a + b.
 */
import { addArrays } from './elementwise'

export function add(
  y: usize, // [N], may be a
  a: usize, // [N]
  b: usize, // [N]
  N: i32,
): void {
  addArrays(y, a, b, N)
}
