/**
 * The contract of mse: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, output, input, size } from '../op.ts'
import { mse, mse_backward } from '../mse.ts'

/** Op definition. */
export const mseOp: PlainOp<typeof mse> = defineOp({
  name: 'mse',
  formula: 'loss = sum((prediction - target)^2) / N',
  params: [output('loss', '1'), input('prediction', 'N'), input('target', 'N'), size('N', 1)],
  reference: mse,
  flops: ({ N }) => 3 * N,
  gradients: [{ of: ['prediction'], op: 'mse_backward' }],
})

/** Op definition. */
export const mseBackwardOp: PlainOp<typeof mse_backward> = defineOp({
  name: 'mse_backward',
  formula: 'prediction_grad = loss_grad 2 (prediction - target) / N',
  params: [
    output('prediction_grad', 'N'),
    input('loss_grad', '1'),
    input('prediction', 'N'),
    input('target', 'N'),
    size('N', 1),
  ],
  reference: mse_backward,
  flops: ({ N }) => 2 * N,
})
