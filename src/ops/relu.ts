/**
 * relu: the activation of OPT's feed-forward block.
 *
 *   y = x > 0 ? x : +0          x_grad = x > 0 ? y_grad : +0
 */
import { defineOp, input, output, size, type PlainOp } from './op.ts'

/** y = max(x, 0); NaN gives +0. */
export function relu(y: Float32Array, x: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = x[n] > 0 ? x[n] : 0
}

/** x_grad = y_grad where x > 0, else +0. At the kink the gradient is 0, as in PyTorch. */
export function relu_backward(x_grad: Float32Array, y_grad: Float32Array, x: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) x_grad[n] = x[n] > 0 ? y_grad[n] : 0
}

/** Op definition. */
export const reluOp: PlainOp<typeof relu> = defineOp({
  name: 'relu',
  formula: 'y = x > 0 ? x : 0',
  params: [output('y', 'N', { mayAlias: 'x' }), input('x', 'N'), size('N')],
  reference: relu,
  flops: ({ N }) => N,
  gradients: [
    { of: ['x'], op: 'relu_backward', bind: { x_grad: 'x_grad', y_grad: 'y_grad', x: 'x', N: 'N' } },
  ],
})

/** Op definition. */
export const reluBackwardOp: PlainOp<typeof relu_backward> = defineOp({
  name: 'relu_backward',
  formula: 'x_grad = x > 0 ? y_grad : 0',
  params: [output('x_grad', 'N', { mayAlias: 'y_grad' }), input('y_grad', 'N'), input('x', 'N'), size('N')],
  reference: relu_backward,
  flops: ({ N }) => N,
})
