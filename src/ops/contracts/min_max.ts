/**
 * The contract of min_max: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, output, input, size } from '../op.ts'
import { min_max } from '../min_max.ts'

/** Op definition. */
export const minMaxOp: PlainOp<typeof min_max> = defineOp({
  name: 'min_max',
  formula: 'y = (x - min x) / (max x - min x), per row; 0 for a constant row',
  params: [output('y', 'T D'), input('x', 'T D'), size('T'), size('D')],
  reference: min_max,
  flops: ({ T, D }) => 4 * T * D,
})
