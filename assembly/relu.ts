/**
 * relu: y = x > 0 ? x : +0.
 * relu_backward: x_grad = x > 0 ? y_grad : +0.
 * relu_gate: y = gate > 0 ? gate * up : +0; relu_gate_backward: its gradients. Formulas: src/ops/activations.ts.
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

export function relu_gate(
  y: usize, // [N], may be gate
  gate: usize, // [N]
  up: usize, // [N]
  N: i32,
): void {
  const end = bytes(N)
  const whole = wholeQuads(N)
  let n: usize = 0
  for (; n < whole; n += 16)
    v128.store(y + n, opened(v128.load(gate + n), v128.load(gate + n), v128.load(up + n)))
  for (; n < end; n += 4) {
    const z = v128.load32_zero(gate + n)
    v128.store_lane<f32>(y + n, opened(z, z, v128.load32_zero(up + n)), 0)
  }
}

export function relu_gate_backward(
  gate_grad: usize, // [N]
  up_grad: usize, // [N]
  y_grad: usize, // [N]
  gate: usize, // [N]
  up: usize, // [N]
  N: i32,
): void {
  const end = bytes(N)
  const whole = wholeQuads(N)
  let n: usize = 0
  for (; n < whole; n += 16) {
    const z = v128.load(gate + n)
    const grad = v128.load(y_grad + n)
    v128.store(gate_grad + n, opened(z, grad, v128.load(up + n)))
    v128.store(up_grad + n, opened(z, grad, z))
  }
  for (; n < end; n += 4) {
    const z = v128.load32_zero(gate + n)
    const grad = v128.load32_zero(y_grad + n)
    v128.store_lane<f32>(gate_grad + n, opened(z, grad, v128.load32_zero(up + n)), 0)
    v128.store_lane<f32>(up_grad + n, opened(z, grad, z), 0)
  }
}

/** a * b where the gate is above 0, else +0. */
function opened(gate: v128, a: v128, b: v128): v128 {
  return v128.and(f32x4.mul(a, b), f32x4.gt(gate, f32x4.splat(0)))
}
