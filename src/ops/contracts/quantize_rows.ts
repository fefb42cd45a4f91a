/**
 * The contract of quantize_rows: parameters, cost, gradients and bounds.
 */
import { defineOp, input, output, sizes, type PlainOp } from '../op.ts'
import { quantize_rows } from '../quantize_rows.ts'

/** Op definition. */
export const quantizeRowsOp: PlainOp<typeof quantize_rows> = defineOp({
  name: 'quantize_rows',
  formula: 'scales[o] = largest |x[o]| / 127, y[o] = the integers nearest to x[o] / scales[o]',
  params: [output('y', 'O I', { dtype: 'i8' }), output('scales', 'O'), input('x', 'O I'), ...sizes('O I')],
  reference: quantize_rows,
  flops: ({ O, I }) => 3 * O * I,
})
