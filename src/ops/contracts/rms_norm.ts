/**
 * The contract of rms_norm: parameters, cost, gradients and bounds.
 */
import { productSize, sequential, striped } from '../relaxed.ts'
import { scaleOf, rms_norm, rms_norm_backward } from '../rms_norm.ts'
import { accumulator, defineOp, input, output, scalar, sizes, type PlainOp } from '../op.ts'

const { abs, fround, sqrt } = Math

/** Sums past this may overflow in float32, in one order if not in the other: then nothing is known. */
const MAX_SQUARES = 2 ** 126

/** Of each output of rms_norm: its size, as each of its factors has a share of roundings. */
const rmsNormMagnitude: typeof rms_norm = (y, x, weight, epsilon, T, D) => {
  for (let t = 0; t < T; t++) {
    const row = x.subarray(t * D, (t + 1) * D)
    const squares = row.reduce((total, value) => total + value * value, 0)
    const scale = 1 / sqrt(squares / D + epsilon)
    for (let d = 0; d < D; d++)
      y[t * D + d] = squares > MAX_SQUARES ? Infinity : productSize(abs(row[d] * scale), abs(weight[d]))
  }
}

/** What x_grad is rounded with: scale (|g| + |n| mean |g n|); the weight's gradient does not differ. */
const rmsNormBackwardMagnitude: typeof rms_norm_backward = (
  x_grad,
  weight_grad,
  y_grad,
  x,
  weight,
  epsilon,
  T,
  D,
) => {
  weight_grad?.fill(0, 0, D)
  for (let t = 0; t < T; t++) {
    const scale = scaleOf(x, t * D, D, fround(epsilon))
    const each = (a: (d: number) => number): number[] => Array.from({ length: D }, (_, d) => a(d))
    const normal = each((d) => productSize(abs(x[t * D + d]), scale))
    const g = each((d) => productSize(abs(y_grad[t * D + d]), abs(weight[d])))
    const mean = g.reduce((total, size, d) => total + productSize(size, normal[d]), 0) / D
    for (let d = 0; d < D; d++)
      x_grad[t * D + d] = productSize(scale, fround(g[d] + productSize(normal[d], fround(mean))))
  }
}

/** Op definition. */
export const rmsNormOp: PlainOp<typeof rms_norm, [epsilon: number]> = defineOp({
  name: 'rms_norm',
  formula: 'y = x / sqrt(mean(x^2) + epsilon) * weight, per row',
  params: [
    output('y', 'T D'),
    input('x', 'T D'),
    input('weight', 'D'),
    scalar('epsilon', 1e-6, 1e-2),
    ...sizes('T D'),
  ],
  reference: rms_norm,
  // The squares may be added in any order; their sum, the division, the root and two products are rounded besides.
  fast: { bound: ({ D }) => 2 * (sequential(D) + 8), magnitude: rmsNormMagnitude },
  flops: ({ T, D }) => 4 * T * D,
  gradients: [{ of: ['x', 'weight'], op: 'rms_norm_backward' }],
})

/** Op definition. */
export const rmsNormBackwardOp: PlainOp<typeof rms_norm_backward, [epsilon: number]> = defineOp({
  name: 'rms_norm_backward',
  formula: 'x_grad = scale (g - n mean(g n)); weight_grad += y_grad n',
  params: [
    output('x_grad', 'T D'),
    accumulator('weight_grad', 'D', { optional: true }),
    input('y_grad', 'T D'),
    input('x', 'T D'),
    input('weight', 'D'),
    scalar('epsilon', 1e-6, 1e-2),
    ...sizes('T D'),
  ],
  reference: rms_norm_backward,
  // mean(g n) differs by its roundings and a division, and what is made of it is rounded three times.
  relaxed: { bound: ({ D }) => 2 * striped(D) + 8, magnitude: rmsNormBackwardMagnitude },
  flops: ({ T, D }) => 14 * T * D,
})
