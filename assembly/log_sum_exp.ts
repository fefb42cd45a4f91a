/**
 * log_sum_exp: y = max(x) + log(sum(e^(x - max(x)))) per row, striped sum.
 * log_sum_exp_backward: x_grad = y_grad * e^(x - y).
 */
import { scaleArray } from './elementwise'
import { bytes, exponentials, largest, log1 } from './float32'
import { sumExponentials } from './softmax_row'
import { rowAt } from './units'

export function log_sum_exp(
  y: usize, // [T]
  x: usize, // [T, V]
  T: i32,
  V: i32,
): void {
  for (let t = 0; t < T; t++) {
    const row = rowAt(x, t, V)
    const most = largest(row, V)
    store<f32>(y + bytes(t), most + log1(sumExponentials(row, most, V)))
  }
}

export function log_sum_exp_backward(
  x_grad: usize, // [T, V]
  y_grad: usize, // [T]
  x: usize, // [T, V]
  y: usize, // [T]
  T: i32,
  V: i32,
): void {
  for (let t = 0; t < T; t++) {
    const to = rowAt(x_grad, t, V)
    exponentials(to, rowAt(x, t, V), load<f32>(y + bytes(t)), V)
    scaleArray(to, to, load<f32>(y_grad + bytes(t)), V)
  }
}
