/**
 * rms_norm: normalisation by the root mean square over the width, as in every Llama (Zhang and Sennrich 2019,
 * arXiv 1910.07467). Unlike layer_norm it subtracts no mean and adds no bias.
 *
 *   scale = 1 / sqrt(sum(x^2) / D + epsilon);  y = x * scale * weight
 *
 * The sum is striped; D is rounded to float32 before it divides.
 *
 * Backward, with n = x * scale and g = y_grad * weight:
 *   x_grad = scale * (g - n * mean(g n));  weight_grad += y_grad n, sequential in t
 */
import { accumulator, defineOp, input, output, scalar, size, type PlainOp } from './op.ts'
import { dot } from './float32.ts'
import { productSize, sequential, striped } from './relaxed.ts'

const { abs, fround, sqrt } = Math

/** 1 over the root mean square of a row. */
function scaleOf(x: Float32Array, start: number, D: number, epsilon: number): number {
  const square = fround(dot(x, start, x, start, D) / fround(D))
  return fround(1 / fround(sqrt(fround(square + epsilon))))
}

/** Normalises each row, then scales it. */
export function rms_norm(
  y: Float32Array, // [T, D]
  x: Float32Array, // [T, D]
  weight: Float32Array, // [D]
  epsilon: number,
  T: number,
  D: number,
): void {
  for (let t = 0; t < T; t++) {
    const scale = scaleOf(x, t * D, D, fround(epsilon))
    for (let d = 0; d < D; d++) y[t * D + d] = fround(x[t * D + d] * scale) * weight[d]
  }
}

/** Gradients of rms_norm. */
export function rms_norm_backward(
  x_grad: Float32Array, // [T, D]
  weight_grad: Float32Array | null, // [D]
  y_grad: Float32Array, // [T, D]
  x: Float32Array, // [T, D]
  weight: Float32Array, // [D]
  epsilon: number,
  T: number,
  D: number,
): void {
  const normal = new Float32Array(D)
  const g = new Float32Array(D)
  for (let t = 0; t < T; t++) {
    const scale = scaleOf(x, t * D, D, fround(epsilon))
    for (let d = 0; d < D; d++) {
      normal[d] = x[t * D + d] * scale
      g[d] = y_grad[t * D + d] * weight[d]
    }
    const mean = fround(dot(g, 0, normal, 0, D) / fround(D))
    for (let d = 0; d < D; d++) {
      x_grad[t * D + d] = scale * fround(g[d] - fround(normal[d] * mean))
      if (weight_grad) weight_grad[d] += fround(y_grad[t * D + d] * normal[d])
    }
  }
}

/** Sums past this may overflow in float32, in one order if not in the other: then nothing is known. */
const MAX_SQUARES = 2 ** 126

/** Of each output of rms_norm: its size, as each of its factors has a share of roundings. */
function rmsNormMagnitude(
  y: Float32Array, // [T, D]
  x: Float32Array, // [T, D]
  weight: Float32Array, // [D]
  epsilon: number,
  T: number,
  D: number,
): void {
  for (let t = 0; t < T; t++) {
    const row = x.subarray(t * D, (t + 1) * D)
    const squares = row.reduce((total, value) => total + value * value, 0)
    const scale = 1 / sqrt(squares / D + epsilon)
    for (let d = 0; d < D; d++)
      y[t * D + d] = squares > MAX_SQUARES ? Infinity : productSize(abs(row[d] * scale), abs(weight[d]))
  }
}

/** What x_grad is rounded with: scale (|g| + |n| mean |g n|); the weight's gradient does not differ. */
function rmsNormBackwardMagnitude(
  x_grad: Float32Array, // [T, D]
  weight_grad: Float32Array | null, // [D]
  y_grad: Float32Array, // [T, D]
  x: Float32Array, // [T, D]
  weight: Float32Array, // [D]
  epsilon: number,
  T: number,
  D: number,
): void {
  weight_grad?.fill(0, 0, D)
  for (let t = 0; t < T; t++) {
    const scale = scaleOf(x, t * D, D, fround(epsilon))
    const sizes = (a: (d: number) => number): number[] => Array.from({ length: D }, (_, d) => a(d))
    const normal = sizes((d) => productSize(abs(x[t * D + d]), scale))
    const g = sizes((d) => productSize(abs(y_grad[t * D + d]), abs(weight[d])))
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
    size('T'),
    size('D'),
  ],
  reference: rms_norm,
  // The squares may be added in any order; their sum, the division, the root and two products are rounded besides.
  fast: { bound: ({ D }) => 2 * (sequential(D) + 8), magnitude: rmsNormMagnitude },
  flops: ({ T, D }) => 4 * T * D,
  gradients: [
    {
      of: ['x', 'weight'],
      op: 'rms_norm_backward',
      bind: {
        x_grad: 'x_grad',
        weight_grad: 'weight_grad',
        y_grad: 'y_grad',
        x: 'x',
        weight: 'weight',
        epsilon: 'epsilon',
        T: 'T',
        D: 'D',
      },
    },
  ],
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
    size('T'),
    size('D'),
  ],
  reference: rms_norm_backward,
  // mean(g n) differs by its roundings and a division, and what is made of it is rounded three times.
  relaxed: { bound: ({ D }) => 2 * striped(D) + 8, magnitude: rmsNormBackwardMagnitude },
  flops: ({ T, D }) => 14 * T * D,
})
