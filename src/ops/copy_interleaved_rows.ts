/**
 * copy_interleaved_rows: copy_rows for int4 rows of outputs, of which four lie side by side (src/tensor/int4.ts): a row
 * takes its scale, its minimum and its bytes of each block to the place of another row.
 *
 *   row slots[r] of y = row rows[r] of x      slots are 0, 1, 2, ... where there is no list of them
 */
import { QUAD_BYTES } from '../tensor/int4.ts'

/** Copies R rows. */
export function copy_interleaved_rows(
  y: Uint8Array, // [G, B, 80]
  x: Uint8Array, // [Q, B, 80]
  slots: Int32Array | null, // [R], in [0, S)
  rows: Int32Array, // [R], in [0, O)
  _S: number,
  _O: number,
  R: number,
  _G: number, // ceil(S / 4)
  _Q: number, // ceil(O / 4)
  B: number,
): void {
  for (let r = 0; r < R; r++) {
    const [slot, row] = [slots ? slots[r] : r, rows[r]]
    for (let b = 0; b < B; b++) {
      const to = ((slot >> 2) * B + b) * QUAD_BYTES
      const from = ((row >> 2) * B + b) * QUAD_BYTES
      // Scale and minimum have two bytes each in eight, the numbers four bytes each in sixteen.
      for (let k = 0; k < 2; k++) {
        y[to + 2 * (slot & 3) + k] = x[from + 2 * (row & 3) + k]
        y[to + 8 + 2 * (slot & 3) + k] = x[from + 8 + 2 * (row & 3) + k]
      }
      for (let k = 0; k < 16; k++) {
        const piece = 16 + 16 * (k >> 2) + (k & 3)
        y[to + piece + 4 * (slot & 3)] = x[from + piece + 4 * (row & 3)]
      }
    }
  }
}
