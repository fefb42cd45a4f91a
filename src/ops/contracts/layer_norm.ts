/**
 * The contract of layer_norm: parameters, cost, gradients and bounds.
 */
import { moments, layer_norm, layer_norm_backward } from '../layer_norm.ts'
import { productSize, striped } from '../relaxed.ts'
import { accumulator, defineOp, input, output, scalar, sizes, type PlainOp } from '../op.ts'
import { layerNormFast } from '../layer_norm_fast.ts'

const { fround } = Math

/** What x_grad is rounded with: scale (|g| + mean |g| + |n| mean |g n|); the parameters' gradients do not differ. */
const layerNormBackwardMagnitude: typeof layer_norm_backward = (
  x_grad,
  weight_grad,
  bias_grad,
  y_grad,
  x,
  weight,
  epsilon,
  T,
  D,
) => {
  for (const grad of [weight_grad, bias_grad]) grad?.fill(0, 0, D)
  for (let t = 0; t < T; t++) {
    const { mean, scale } = moments(x, t * D, D, fround(epsilon))
    const normal = Array.from({ length: D }, (_, d) =>
      productSize(Math.abs(fround(x[t * D + d] - mean)), scale),
    )
    const g = Array.from({ length: D }, (_, d) =>
      productSize(Math.abs(y_grad[t * D + d]), Math.abs(weight[d])),
    )
    const gMean = g.reduce((total, size) => total + size, 0) / D
    const gnMean = g.reduce((total, size, d) => total + productSize(size, normal[d]), 0) / D
    for (let d = 0; d < D; d++)
      x_grad[t * D + d] = productSize(scale, fround(g[d] + gMean + productSize(normal[d], fround(gnMean))))
  }
}

/** Op definition. */
export const layerNormOp: PlainOp<typeof layer_norm, [epsilon: number]> = defineOp({
  name: 'layer_norm',
  formula: 'y = (x - mean) / sqrt(variance + epsilon) * weight + bias, per row',
  params: [
    output('y', 'T D'),
    input('x', 'T D'),
    input('weight', 'D'),
    input('bias', 'D'),
    scalar('epsilon', 1e-6, 1e-2),
    ...sizes('T D'),
  ],
  reference: layer_norm,
  fast: layerNormFast,
  flops: ({ T, D }) => 8 * T * D,
  gradients: [{ of: ['x', 'weight', 'bias'], op: 'layer_norm_backward' }],
})

/** Op definition. */
export const layerNormBackwardOp: PlainOp<typeof layer_norm_backward, [epsilon: number]> = defineOp({
  name: 'layer_norm_backward',
  formula: 'x_grad = scale ((g - mean(g)) - n mean(g n)); weight_grad += y_grad n; bias_grad += y_grad',
  params: [
    output('x_grad', 'T D'),
    accumulator('weight_grad', 'D', { optional: true }),
    accumulator('bias_grad', 'D', { optional: true }),
    input('y_grad', 'T D'),
    input('x', 'T D'),
    input('weight', 'D'),
    scalar('epsilon', 1e-6, 1e-2),
    ...sizes('T D'),
  ],
  reference: layer_norm_backward,
  // mean(g) differs by its roundings and a division, and what is made of it is rounded three times.
  relaxed: { bound: ({ D }) => 2 * striped(D) + 8, magnitude: layerNormBackwardMagnitude },
  flops: ({ T, D }) => 20 * T * D,
})
