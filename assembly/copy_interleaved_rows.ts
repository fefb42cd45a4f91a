/**
 * copy_interleaved_rows: row slots[r] of y = row rows[r] of x, of which four lie side by side.
 */
import { copyInterleavedRow } from './int4'
import { unitAt } from './units'

export function copy_interleaved_rows(
  y: usize, // [G, B, 80]
  x: usize, // [Q, B, 80]
  slots: usize, // [R] or null
  rows: usize, // [R]
  S: i32,
  O: i32,
  R: i32,
  G: i32,
  Q: i32,
  B: i32,
): void {
  for (let r = 0; r < R; r++) copyInterleavedRow(y, unitAt(slots, r), x, unitAt(rows, r), B)
}
