/**
 * copy_rows: rows of one matrix take places in another, whose other rows stay. This is how the weights of the units a
 * sequence keeps are packed, and how they follow a mask that changes. Rows may be stored in any kind of numbers; they are
 * copied as they are. The scales of int8 rows are copied by a call of their own, as rows of one number. Rows that lie side by side have an
 * op of their own (copy_interleaved_rows.ts).
 *
 *   y[slots[r]] = x[rows[r]]      slots are 0, 1, 2, ... where there is no list of them
 */
import type { Numbers } from './op.ts'

/** Copies R rows. */
export function copy_rows(
  y: Numbers, // [S, I]
  x: Numbers, // [O, I]
  slots: Int32Array | null, // [R], in [0, S)
  rows: Int32Array, // [R], in [0, O)
  _S: number,
  _O: number,
  I: number,
  R: number,
): void {
  for (let r = 0; r < R; r++) y.set(x.subarray(rows[r] * I, (rows[r] + 1) * I), (slots ? slots[r] : r) * I)
}
