/**
 * linear: y[t, o] = <x[t], weight[o]> + bias[o] for chosen rows o, +0 for the others; a striped dot each.
 *
 * One token: a row of the weights at a time, one sequential stream. Several tokens: see linear_tile.ts.
 */
import { bytes, dot } from './float32'
import { isTiled, linearTiled } from './linear_tile'
import { rowAt, unitAt } from './units'

export function linear(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I]
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  const count = rows ? R : O
  if (rows) memory.fill(y, 0, <usize>T * bytes(O))
  if (isTiled(T, I, count)) {
    linearTiled(y, x, weight, bias, rows, T, O, I, count)
    return
  }
  for (let r = 0; r < count; r++) {
    const o = unitAt(rows, r)
    const row = rowAt(weight, o, I)
    for (let t = 0; t < T; t++) {
      let value = dot(rowAt(x, t, I), row, I)
      if (bias) value += load<f32>(bias + bytes(o))
      store<f32>(rowAt(y, t, O) + bytes(o), value)
    }
  }
}
