/**
 * rotary: turns the pairs (i, i + M) of every head by the angles of its token; rotary_backward: by the opposite angles.
 * Formulas: src/ops/rotary.ts.
 */
import { bytes, wholeQuads } from './float32'
import { rowAt } from './units'

export function rotary(
  y: usize, // [T, H, K], may be x
  x: usize, // [T, H, K]
  table: usize, // [T, K]
  T: i32,
  H: i32,
  K: i32,
): void {
  turn(y, x, table, 1, T, H, K)
}

export function rotary_backward(
  x_grad: usize, // [T, H, K], may be y_grad
  y_grad: usize, // [T, H, K]
  table: usize, // [T, K]
  T: i32,
  H: i32,
  K: i32,
): void {
  turn(x_grad, y_grad, table, -1, T, H, K)
}

/** By the angles of the table, or by the opposite ones where `direction` is -1. */
function turn(y: usize, x: usize, table: usize, direction: f32, T: i32, H: i32, K: i32): void {
  const half = bytes(K >> 1)
  const whole = wholeQuads(K >> 1)
  const row = bytes(K)
  const directions = f32x4.splat(direction)
  for (let t = 0; t < T; t++) {
    const cosines = rowAt(table, t, K)
    const sines = cosines + half
    for (let h = 0; h < H; h++) {
      let i: usize = 0
      for (; i < whole; i += 16) {
        const cos = v128.load(cosines + i)
        const sin = f32x4.mul(directions, v128.load(sines + i))
        const first = v128.load(x + i)
        const second = v128.load(x + half + i)
        v128.store(y + i, f32x4.sub(f32x4.mul(first, cos), f32x4.mul(second, sin)))
        v128.store(y + half + i, f32x4.add(f32x4.mul(second, cos), f32x4.mul(first, sin)))
      }
      for (; i < half; i += 4) {
        const cos = load<f32>(cosines + i)
        const sin = direction * load<f32>(sines + i)
        const first = load<f32>(x + i)
        const second = load<f32>(x + half + i)
        store<f32>(y + i, first * cos - second * sin)
        store<f32>(y + half + i, second * cos + first * sin)
      }
      // A last number without a partner.
      if (K & 1) store<f32>(y + half * 2, load<f32>(x + half * 2))
      x += row
      y += row
    }
  }
}
