/**
 * copy_rows: y[slots[r]] = x[rows[r]]; the other rows of y are left alone.
 */
import { bytes } from './float32'
import { rowAt, unitAt } from './units'

export function copy_rows(
  y: usize, // [S, I]
  x: usize, // [O, I]
  slots: usize, // [R] or null
  rows: usize, // [R]
  S: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  for (let r = 0; r < R; r++)
    memory.copy(rowAt(y, unitAt(slots, r), I), rowAt(x, unitAt(rows, r), I), bytes(I))
}
