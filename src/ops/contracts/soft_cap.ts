/**
 * The contract of soft_cap: parameters, cost and gradients.
 */
import { defineOp, input, output, scalar, size, type PlainOp } from '../op.ts'
import { soft_cap, soft_cap_backward } from '../soft_cap.ts'

/** Op definition. */
export const softCapOp: PlainOp<typeof soft_cap, [cap: number]> = defineOp({
  name: 'soft_cap',
  formula: 'y = cap tanh(x / cap)',
  params: [output('y', 'N', { mayAlias: 'x' }), input('x', 'N'), scalar('cap', -12, 12), size('N')],
  reference: soft_cap,
  flops: ({ N }) => 26 * N,
  gradients: [{ of: ['x'], op: 'soft_cap_backward' }],
})

/** Op definition. */
export const softCapBackwardOp: PlainOp<typeof soft_cap_backward, [cap: number]> = defineOp({
  name: 'soft_cap_backward',
  formula: 'x_grad = y_grad (1 - tanh(x / cap)^2)',
  params: [output('x_grad', 'N'), input('y_grad', 'N'), input('x', 'N'), scalar('cap', -12, 12), size('N')],
  reference: soft_cap_backward,
  flops: ({ N }) => 28 * N,
})
