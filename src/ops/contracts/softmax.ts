/**
 * The contract of softmax: parameters, cost, gradients and bounds.
 */
import { productSize, sequential, striped } from '../relaxed.ts'
import { type PlainOp, defineOp, output, input, size } from '../op.ts'
import { softmax, softmax_backward } from '../softmax.ts'

const { fround } = Math

/** |y| (|y_grad| + sum |y_grad y|): what the gradient is rounded with. */
const softmaxBackwardMagnitude: typeof softmax_backward = (x_grad, y_grad, y, T, V) => {
  for (let t = 0; t < T; t++) {
    let mean = 0
    for (let n = t * V; n < (t + 1) * V; n++) mean += productSize(Math.abs(y_grad[n]), Math.abs(y[n]))
    for (let n = t * V; n < (t + 1) * V; n++)
      x_grad[n] = productSize(Math.abs(y[n]), fround(Math.abs(y_grad[n]) + mean))
  }
}

/** Op definition. */
export const softmaxOp: PlainOp<typeof softmax> = defineOp({
  name: 'softmax',
  formula: 'y = exp(x - max x) / sum exp(x - max x), per row',
  params: [output('y', 'T V'), input('x', 'T V'), size('T'), size('V', 1)],
  reference: softmax,
  // The exponentials have equal bits, and their sum, which no term takes from, may have another order.
  fast: { bound: ({ V }) => 2 * sequential(V), magnitude: softmax },
  flops: ({ T, V }) => 24 * T * V,
  gradients: [{ of: ['x'], op: 'softmax_backward' }],
})

/** Op definition. */
export const softmaxBackwardOp: PlainOp<typeof softmax_backward> = defineOp({
  name: 'softmax_backward',
  formula: 'x_grad = y (y_grad - <y_grad, y>), per row',
  params: [output('x_grad', 'T V'), input('y_grad', 'T V'), input('y', 'T V'), size('T'), size('V', 1)],
  reference: softmax_backward,
  // The mean differs by its roundings, and what is made of it is rounded twice.
  relaxed: { bound: ({ V }) => 2 * striped(V) + 4, magnitude: softmaxBackwardMagnitude },
  flops: ({ T, V }) => 4 * T * V,
})
