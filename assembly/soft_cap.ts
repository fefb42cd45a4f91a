/**
 * soft_cap: y = cap tanh(x / cap); soft_cap_backward: its gradient.
 */
import { capScores, capSlopes } from './cap_scores'
import { bytes, wholeQuads } from './float32'

export function soft_cap(
  y: usize, // [N], may be x
  x: usize, // [N]
  cap: f32,
  N: i32,
): void {
  if (y != x) memory.copy(y, x, bytes(N))
  capScores(y, cap, N)
}

export function soft_cap_backward(
  x_grad: usize, // [N]
  y_grad: usize, // [N]
  x: usize, // [N]
  cap: f32,
  N: i32,
): void {
  if (!(cap > 0)) return memory.copy(x_grad, y_grad, bytes(N))
  capSlopes(x_grad, x, cap, N)
  const end = bytes(N)
  const whole = wholeQuads(N)
  let n: usize = 0
  for (; n < whole; n += 16) v128.store(x_grad + n, f32x4.mul(v128.load(y_grad + n), v128.load(x_grad + n)))
  for (; n < end; n += 4) store<f32>(x_grad + n, load<f32>(y_grad + n) * load<f32>(x_grad + n))
}
