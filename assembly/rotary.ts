/**
 * rotary: turns the pairs (i, i + M) of the first R numbers of every head by the angles of its token; rotary_backward: by the opposite angles.
 * Formulas: src/ops/rotary.ts.
 */
import { bytes, wholeQuads } from './float32'
import { rowAt } from './units'

export function rotary(
  y: usize, // [T, H, K], may be x
  x: usize, // [T, H, K]
  table: usize, // [T, R]
  T: i32,
  H: i32,
  R: i32,
  K: i32,
): void {
  turn(y, x, table, 1, T, H, R, K)
}

export function rotary_backward(
  x_grad: usize, // [T, H, K], may be y_grad
  y_grad: usize, // [T, H, K]
  table: usize, // [T, R]
  T: i32,
  H: i32,
  R: i32,
  K: i32,
): void {
  turn(x_grad, y_grad, table, -1, T, H, R, K)
}

/** By the angles of the table, or by the opposite ones where `direction` is -1. */
function turn(y: usize, x: usize, table: usize, direction: f32, T: i32, H: i32, R: i32, K: i32): void {
  const half = bytes(R >> 1)
  const whole = wholeQuads(R >> 1)
  const row = bytes(K)
  const directions = f32x4.splat(direction)
  for (let t = 0; t < T; t++) {
    const cosines = rowAt(table, t, R)
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
      // Numbers without a partner.
      for (i = half * 2; i < row; i += 4) store<f32>(y + i, load<f32>(x + i))
      x += row
      y += row
    }
  }
}
