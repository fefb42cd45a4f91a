/**
 * relu: y = x > 0 ? x : +0.
 * relu_backward: x_grad = x > 0 ? y_grad : +0.
 */
import { bytes, wholeQuads } from './float32'

export function relu(
  y: usize, // [N], may be x
  x: usize, // [N]
  N: i32,
): void {
  relu_backward(y, x, x, N)
}

export function relu_backward(
  x_grad: usize, // [N], may be y_grad
  y_grad: usize, // [N]
  x: usize, // [N]
  N: i32,
): void {
  const zeros = f32x4.splat(0)
  const end = bytes(N)
  const whole = wholeQuads(N)
  let n: usize = 0
  for (; n < whole; n += 16)
    v128.store(x_grad + n, v128.and(v128.load(y_grad + n), f32x4.gt(v128.load(x + n), zeros)))
  for (; n < end; n += 4) store<f32>(x_grad + n, load<f32>(x + n) > 0 ? load<f32>(y_grad + n) : 0)
}
