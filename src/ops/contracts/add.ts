/**
 * The contract of add: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, output, input, size } from '../op.ts'
import { add } from '../add.ts'

/** Op definition. Its gradient is the identity for both terms. */
export const addOp: PlainOp<typeof add> = defineOp({
  name: 'add',
  formula: 'y = a + b',
  params: [output('y', 'N', { mayAlias: 'a' }), input('a', 'N'), input('b', 'N'), size('N')],
  reference: add,
  flops: ({ N }) => N,
})
