/**
 * The contract of min_max: parameters, cost, gradients and bounds.
 */
import { defineOp, input, output, sizes, type PlainOp } from '../op.ts'
import { min_max } from '../min_max.ts'

/** Op definition. */
export const minMaxOp: PlainOp<typeof min_max> = defineOp({
  name: 'min_max',
  formula: 'y = (x - min x) / (max x - min x), per row; 0 for a constant row',
  params: [output('y', 'T D'), input('x', 'T D'), ...sizes('T D')],
  reference: min_max,
  flops: ({ T, D }) => 4 * T * D,
})
