/**
 * The contract of sum: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, accumulator, input, size } from '../op.ts'
import { sum } from '../sum.ts'

/** Op definition. */
export const sumOp: PlainOp<typeof sum> = defineOp({
  name: 'sum',
  formula: 'total += sum(x)',
  params: [accumulator('total', '1'), input('x', 'N'), size('N')],
  reference: sum,
  flops: ({ N }) => N,
})
