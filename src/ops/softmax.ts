/**
 * softmax of each row, in float32 and shifted by the largest value.
 *
 *   e = exp(x - max(x));  y = e / sum(e), striped sum;   x_grad = y (y_grad - <y_grad, y>), striped inner product
 */
import { dot, exp, largest, sum } from './float32.ts'

const { fround } = Math

/** Writes e^(x - max) of one row into y and returns their striped sum. */
export function exponentials(
  y: Float32Array,
  yStart: number,
  x: Float32Array,
  xStart: number,
  length: number,
): { most: number; total: number } {
  const most = largest(x, xStart, length)
  for (let i = 0; i < length; i++) y[yStart + i] = exp(fround(x[xStart + i] - most))
  return { most, total: sum(y, yStart, length) }
}

/** Each row becomes a distribution. */
export function softmax(y: Float32Array, x: Float32Array, T: number, V: number): void {
  for (let t = 0; t < T; t++) {
    const { total } = exponentials(y, t * V, x, t * V, V)
    for (let v = 0; v < V; v++) y[t * V + v] /= total
  }
}

/** Gradient of softmax, from its output. */
export function softmax_backward(
  x_grad: Float32Array, // [T, V]
  y_grad: Float32Array, // [T, V]
  y: Float32Array, // [T, V]
  T: number,
  V: number,
): void {
  for (let t = 0; t < T; t++) {
    const mean = dot(y_grad, t * V, y, t * V, V)
    for (let n = t * V; n < (t + 1) * V; n++) x_grad[n] = y[n] * fround(y_grad[n] - mean)
  }
}
