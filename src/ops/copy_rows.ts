/**
 * copy_rows: rows of one matrix take places in another, whose other rows stay. This is how the weights of the units a
 * sequence keeps are packed, and how they follow a mask that changes.
 *
 *   y[slots[r]] = x[rows[r]]      slots are 0, 1, 2, ... where there is no list of them
 */
import { accumulator, defineOp, ids, input, size, type Op } from './op.ts'

/** Copies R rows. */
export function copy_rows(
  y: Float32Array, // [S, I]
  x: Float32Array, // [O, I]
  slots: Int32Array | null, // [R], in [0, S)
  rows: Int32Array, // [R], in [0, O)
  _S: number,
  _O: number,
  I: number,
  R: number,
): void {
  for (let r = 0; r < R; r++) {
    const slot = slots ? slots[r] : r
    for (let i = 0; i < I; i++) y[slot * I + i] = x[rows[r] * I + i]
  }
}

/** Catalogue row. */
export const copyRowsOp: Op<Parameters<typeof copy_rows>> = defineOp({
  name: 'copy_rows',
  formula: 'y[slots[r]] = x[rows[r]]',
  params: [
    accumulator('y', 'S I'),
    input('x', 'O I'),
    { ...ids('slots', 'R', 'S'), optional: true },
    ids('rows', 'R', 'O'),
    size('S', 'R'),
    size('O', 1),
    size('I'),
    size('R'),
  ],
  reference: copy_rows,
  flops: () => 0,
  bytes: ({ I, R }) => 4 * (2 * R * I + 2 * R),
})
