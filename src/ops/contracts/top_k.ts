/**
 * The contract of top_k: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, chosenOutput, input, size } from '../op.ts'
import { top_k } from '../top_k.ts'

/** Op definition. */
export const topKOp: PlainOp<typeof top_k> = defineOp({
  name: 'top_k',
  formula: 'indices = the R highest of N scores, ties to the lower index, ascending',
  params: [chosenOutput('indices', 'R', 'N'), input('scores', 'N'), size('N', 'R'), size('R')],
  reference: top_k,
  flops: ({ N }) => N,
})
