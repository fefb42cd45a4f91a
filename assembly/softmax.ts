/**
 * softmax: each row e^(x - max) divided by its striped sum.
 * softmax_backward: x_grad = y (y_grad - <y_grad, y>), from the output.
 */
import { bytes, dot, wholeQuads } from './float32'
import { softmaxRow } from './softmax_row'
import { rowAt } from './units'

export function softmax(
  y: usize, // [T, V]
  x: usize, // [T, V]
  T: i32,
  V: i32,
): void {
  for (let t = 0; t < T; t++) softmaxRow(rowAt(y, t, V), rowAt(x, t, V), V)
}

export function softmax_backward(
  x_grad: usize, // [T, V]
  y_grad: usize, // [T, V]
  y: usize, // [T, V]
  T: i32,
  V: i32,
): void {
  const end = bytes(V)
  const whole = wholeQuads(V)
  for (let t = 0; t < T; t++) {
    const to = rowAt(x_grad, t, V)
    const grad = rowAt(y_grad, t, V)
    const output = rowAt(y, t, V)
    const mean = dot<f32>(grad, output, V)
    const means = f32x4.splat(mean)
    let v: usize = 0
    for (; v < whole; v += 16)
      v128.store(to + v, f32x4.mul(v128.load(output + v), f32x4.sub(v128.load(grad + v), means)))
    for (; v < end; v += 4) store<f32>(to + v, load<f32>(output + v) * (load<f32>(grad + v) - mean))
  }
}
