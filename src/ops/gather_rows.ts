/**
 * gather_rows: chosen rows of a matrix, side by side. This is how the weights of the units a sequence keeps are packed.
 *
 *   y[r] = x[rows[r]]
 */
import { defineOp, ids, input, output, size, type Op } from './op.ts'

/** Copies R rows. */
export function gather_rows(
  y: Float32Array, // [R, I]
  x: Float32Array, // [O, I]
  rows: Int32Array, // [R], in [0, O)
  _O: number,
  I: number,
  R: number,
): void {
  for (let r = 0; r < R; r++) for (let i = 0; i < I; i++) y[r * I + i] = x[rows[r] * I + i]
}

/** Catalogue row. */
export const gatherRowsOp: Op<Parameters<typeof gather_rows>> = defineOp({
  name: 'gather_rows',
  formula: 'y[r] = x[rows[r]]',
  params: [output('y', 'R I'), input('x', 'O I'), ids('rows', 'R', 'O'), size('O', 1), size('I'), size('R')],
  reference: gather_rows,
  flops: () => 0,
  bytes: ({ I, R }) => 4 * (2 * R * I + R),
})
