/**
 * The contract of copy_interleaved_rows: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, accumulator, input, ids, size, quotient } from '../op.ts'
import { copy_interleaved_rows } from '../copy_interleaved_rows.ts'

/** Op definition. */
export const copyInterleavedRowsOp: PlainOp<typeof copy_interleaved_rows, [S: number, O: number]> = defineOp({
  name: 'copy_interleaved_rows',
  formula: 'row slots[r] of y = row rows[r] of x, four rows side by side',
  params: [
    accumulator('y', 'G B 80', { dtype: 'i4', sideBySide: 4 }),
    input('x', 'Q B 80', { dtype: 'i4', sideBySide: 4 }),
    { ...ids('slots', 'R', 'S'), optional: true },
    ids('rows', 'R', 'O'),
    size('S', 'R'),
    size('O', 1),
    size('R'),
    quotient('G', 'S', 4),
    quotient('Q', 'O', 4),
    size('B'),
  ],
  reference: copy_interleaved_rows,
  flops: () => 0,
  bytes: ({ R, B }) => 40 * R * B + 8 * R,
})
