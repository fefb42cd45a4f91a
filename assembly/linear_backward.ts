/**
 * linear_backward_weight: weight_grad[o, i] += sum over t of y_grad[t, o] * x[t, i] for chosen rows o.
 * linear_backward_bias: bias_grad[o] += sum over t of y_grad[t, o]. Both sequential in t, added to the present values.
 */
import { addArrays, addScaled } from './elementwise'
import { bytes } from './float32'
import { addOuterProducts } from './outer_product'
import { addChosen, rowAt, unitAt } from './units'

/** From this many tokens and rows packing costs less than it saves. */
const WORTH_PACKING: i32 = 4

export function linear_backward_weight(
  weight_grad: usize, // [O, I]
  y_grad: usize, // [T, O]
  x: usize, // [T, I]
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  linear_backward_weight_part(weight_grad, y_grad, x, rows, T, O, I, R, 0, rows ? R : O)
}

/** What rows from..to of the matrix receive, or entries from..to of the list. */
export function linear_backward_weight_part(
  weight_grad: usize, // [O, I]
  y_grad: usize, // [T, O]
  x: usize, // [T, I]
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  const count = to - from
  if (rows) rows += bytes(from)
  else {
    weight_grad = rowAt(weight_grad, from, I)
    y_grad += bytes(from)
  }
  if (T >= WORTH_PACKING && count >= WORTH_PACKING) {
    addOuterProducts<f32>(weight_grad, rows, I, y_grad, 1, O, x, I, 0, count, I, T)
    return
  }
  for (let r = 0; r < count; r++) {
    const o = unitAt(rows, r)
    const row = rowAt(weight_grad, o, I)
    for (let t = 0; t < T; t++)
      addScaled<f32>(row, rowAt(x, t, I), load<f32>(rowAt(y_grad, t, O) + bytes(o)), I)
  }
}

export function linear_backward_bias(
  bias_grad: usize, // [O]
  y_grad: usize, // [T, O]
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  R: i32,
): void {
  for (let t = 0; t < T; t++) {
    const row = rowAt(y_grad, t, O)
    if (!rows) addArrays(bias_grad, bias_grad, row, O)
    else addChosen(bias_grad, row, rows, R)
  }
}
