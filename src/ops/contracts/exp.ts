/**
 * The contract of exp: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, output, input, size } from '../op.ts'
import { exp, log } from '../exp.ts'

/** Op definition. */
export const expOp: PlainOp<typeof exp> = defineOp({
  name: 'exp',
  formula: 'y = e^x',
  params: [output('y', 'N', { mayAlias: 'x' }), input('x', 'N'), size('N')],
  reference: exp,
  flops: ({ N }) => 20 * N,
})

/** Op definition. */
export const logOp: PlainOp<typeof log> = defineOp({
  name: 'log',
  formula: 'y = ln x',
  params: [output('y', 'N', { mayAlias: 'x' }), input('x', 'N'), size('N')],
  reference: log,
  flops: ({ N }) => 25 * N,
})
