/**
 * gelu_tanh_gate: y = gate / (1 + e^-2u) * up, 2u = (a gate) (1 + b gate^2).
 * gelu_tanh_gate_backward: its gradients. Formulas: src/ops/activations.ts.
 *
 * The numbers past the last whole four go through the same four lanes, one at a time.
 */
import { bytes, exp4, wholeQuads } from './float32'

export function gelu_tanh_gate(
  y: usize, // [N], may be gate
  gate: usize, // [N]
  up: usize, // [N]
  N: i32,
): void {
  const end = bytes(N)
  const whole = wholeQuads(N)
  let n: usize = 0
  for (; n < whole; n += 16) v128.store(y + n, gated(v128.load(gate + n), v128.load(up + n)))
  for (; n < end; n += 4)
    v128.store_lane<f32>(y + n, gated(v128.load32_zero(gate + n), v128.load32_zero(up + n)), 0)
}

export function gelu_tanh_gate_backward(
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
    const d = denominator(z)
    v128.store(gate_grad + n, gateGradient(z, d, grad, v128.load(up + n)))
    v128.store(up_grad + n, f32x4.mul(grad, f32x4.div(z, d)))
  }
  for (; n < end; n += 4) {
    const z = v128.load32_zero(gate + n)
    const grad = v128.load32_zero(y_grad + n)
    const d = denominator(z)
    v128.store_lane<f32>(gate_grad + n, gateGradient(z, d, grad, v128.load32_zero(up + n)), 0)
    v128.store_lane<f32>(up_grad + n, f32x4.mul(grad, f32x4.div(z, d)), 0)
  }
}

/** 2 sqrt(2 / pi), 0.044715, and three times that. */
const SLOPE: f32 = 1.5957691216057308
const CUBE: f32 = 0.044715
const CUBE_SLOPE: f32 = 0.134145

/** 1 + e^-2u */
function denominator(z: v128): v128 {
  const ones = f32x4.splat(1)
  const stretched = f32x4.add(ones, f32x4.mul(f32x4.splat(CUBE), f32x4.mul(z, z)))
  return f32x4.add(ones, exp4(f32x4.neg(f32x4.mul(f32x4.mul(f32x4.splat(SLOPE), z), stretched))))
}

/** z / (1 + e^-2u) * up */
function gated(z: v128, up: v128): v128 {
  return f32x4.mul(f32x4.div(z, denominator(z)), up)
}

/** (y_grad * up) * (s * (1 + (z * (1 - s)) * (a * (1 + 3 b z^2)))), s = 1 / d */
function gateGradient(z: v128, d: v128, y_grad: v128, up: v128): v128 {
  const ones = f32x4.splat(1)
  const s = f32x4.div(ones, d)
  const stretched = f32x4.add(ones, f32x4.mul(f32x4.splat(CUBE_SLOPE), f32x4.mul(z, z)))
  const rest = f32x4.mul(f32x4.mul(z, f32x4.sub(ones, s)), f32x4.mul(f32x4.splat(SLOPE), stretched))
  const slope = f32x4.mul(s, f32x4.add(ones, rest))
  return f32x4.mul(f32x4.mul(y_grad, up), slope)
}
