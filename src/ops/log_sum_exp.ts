/**
 * log_sum_exp of each row, shifted by its largest value.
 *
 *   y = max(x) + log(sum(exp(x - max(x)))), striped sum;   x_grad = y_grad * exp(x - y)
 */
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
