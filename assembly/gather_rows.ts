/**
 * gather_rows: y[r] = x[rows[r]].
 */
import { bytes } from './float32'
import { rowAt, unitAt } from './units'

export function gather_rows(
  y: usize, // [R, I]
  x: usize, // [O, I]
  rows: usize, // [R]
  O: i32,
  I: i32,
  R: i32,
): void {
  for (let r = 0; r < R; r++) memory.copy(rowAt(y, r, I), rowAt(x, unitAt(rows, r), I), bytes(I))
}
