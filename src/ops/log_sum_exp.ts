/**
 * log_sum_exp of each row, shifted by its largest value.
 *
 *   y = max(x) + log(sum(exp(x - max(x)))), striped sum;   x_grad = y_grad * exp(x - y)
 */
import { defineOp, input, output, size, type PlainOp } from './op.ts'
import { exp, log } from './float32.ts'
import { exponentials } from './softmax.ts'

const { fround } = Math

/** The logarithm of the sum of exponentials of each row. */
export function log_sum_exp(
  y: Float32Array, // [T]
  x: Float32Array, // [T, V]
  T: number,
  V: number,
): void {
  const row = new Float32Array(V)
  for (let t = 0; t < T; t++) {
    const { most, total } = exponentials(row, 0, x, t * V, V)
    y[t] = most + log(total)
  }
}

/** Gradient of log_sum_exp, from its input and output. */
export function log_sum_exp_backward(
  x_grad: Float32Array, // [T, V]
  y_grad: Float32Array, // [T]
  x: Float32Array, // [T, V]
  y: Float32Array, // [T]
  T: number,
  V: number,
): void {
  for (let t = 0; t < T; t++)
    for (let n = t * V; n < (t + 1) * V; n++) x_grad[n] = y_grad[t] * exp(fround(x[n] - y[t]))
}

/** Op definition. */
export const logSumExpOp: PlainOp<typeof log_sum_exp> = defineOp({
  name: 'log_sum_exp',
  formula: 'y = max x + log(sum exp(x - max x)), per row',
  params: [output('y', 'T'), input('x', 'T V'), size('T'), size('V', 1)],
  reference: log_sum_exp,
  flops: ({ T, V }) => 23 * T * V,
  gradients: [
    {
      of: ['x'],
      op: 'log_sum_exp_backward',
      bind: { x_grad: 'x_grad', y_grad: 'y_grad', x: 'x', y: 'y', T: 'T', V: 'V' },
    },
  ],
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
