/**
 * The contract of log_sum_exp: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, output, input, size } from '../op.ts'
import { log_sum_exp, log_sum_exp_backward } from '../log_sum_exp.ts'

/** Op definition. */
export const logSumExpOp: PlainOp<typeof log_sum_exp> = defineOp({
  name: 'log_sum_exp',
  formula: 'y = max x + log(sum exp(x - max x)), per row',
  params: [output('y', 'T'), input('x', 'T V'), size('T'), size('V', 1)],
  reference: log_sum_exp,
  flops: ({ T, V }) => 23 * T * V,
  gradients: [{ of: ['x'], op: 'log_sum_exp_backward' }],
})

/** Op definition. */
export const logSumExpBackwardOp: PlainOp<typeof log_sum_exp_backward> = defineOp({
  name: 'log_sum_exp_backward',
  formula: 'x_grad = y_grad exp(x - y)',
  params: [
    output('x_grad', 'T V'),
    input('y_grad', 'T'),
    input('x', 'T V'),
    input('y', 'T'),
    size('T'),
    size('V', 1),
  ],
  reference: log_sum_exp_backward,
  flops: ({ T, V }) => 22 * T * V,
})
