/**
 * The gates silu_gate, relu_gate and gelu_tanh_gate with their gradients. Formulas: src/ops/activations.ts.
 *
 * The numbers past the last whole four go through the same four lanes, one at a time.
 */
import { bytes, exp4, wholeQuads } from './float32'

/** The function of a gate, as a type parameter: one of the compiler's own types has to stand for each. */
type Silu = i8
type Relu = i16
type GeluTanh = i32

export function silu_gate(
  y: usize, // [N], may be gate
  gate: usize, // [N]
  up: usize, // [N]
  N: i32,
): void {
  forward<Silu>(y, gate, up, N)
}

export function silu_gate_backward(
  gate_grad: usize, // [N]
  up_grad: usize, // [N]
  y_grad: usize, // [N]
  gate: usize, // [N]
  up: usize, // [N]
  N: i32,
): void {
  backward<Silu>(gate_grad, up_grad, y_grad, gate, up, N)
}

export function relu_gate(
  y: usize, // [N], may be gate
  gate: usize, // [N]
  up: usize, // [N]
  N: i32,
): void {
  forward<Relu>(y, gate, up, N)
}

export function relu_gate_backward(
  gate_grad: usize, // [N]
  up_grad: usize, // [N]
  y_grad: usize, // [N]
  gate: usize, // [N]
  up: usize, // [N]
  N: i32,
): void {
  backward<Relu>(gate_grad, up_grad, y_grad, gate, up, N)
}

export function gelu_tanh_gate(
  y: usize, // [N], may be gate
  gate: usize, // [N]
  up: usize, // [N]
  N: i32,
): void {
  forward<GeluTanh>(y, gate, up, N)
}

export function gelu_tanh_gate_backward(
  gate_grad: usize, // [N]
  up_grad: usize, // [N]
  y_grad: usize, // [N]
  gate: usize, // [N]
  up: usize, // [N]
  N: i32,
): void {
  backward<GeluTanh>(gate_grad, up_grad, y_grad, gate, up, N)
}

function forward<Gate>(y: usize, gate: usize, up: usize, N: i32): void {
  const end = bytes(N)
  const whole = wholeQuads(N)
  let n: usize = 0
  for (; n < whole; n += 16) {
    const z = v128.load(gate + n)
    v128.store(y + n, times<Gate>(v128.load(up + n), z, denominator<Gate>(z)))
  }
  for (; n < end; n += 4) {
    const z = v128.load32_zero(gate + n)
    v128.store_lane<f32>(y + n, times<Gate>(v128.load32_zero(up + n), z, denominator<Gate>(z)), 0)
  }
}

function backward<Gate>(
  gate_grad: usize,
  up_grad: usize,
  y_grad: usize,
  gate: usize,
  up: usize,
  N: i32,
): void {
  const end = bytes(N)
  const whole = wholeQuads(N)
  let n: usize = 0
  for (; n < whole; n += 16) {
    const z = v128.load(gate + n)
    const grad = v128.load(y_grad + n)
    const d = denominator<Gate>(z)
    v128.store(gate_grad + n, timesSlope<Gate>(f32x4.mul(grad, v128.load(up + n)), z, d))
    v128.store(up_grad + n, times<Gate>(grad, z, d))
  }
  for (; n < end; n += 4) {
    const z = v128.load32_zero(gate + n)
    const grad = v128.load32_zero(y_grad + n)
    const d = denominator<Gate>(z)
    const product = f32x4.mul(grad, v128.load32_zero(up + n))
    v128.store_lane<f32>(gate_grad + n, timesSlope<Gate>(product, z, d), 0)
    v128.store_lane<f32>(up_grad + n, times<Gate>(grad, z, d), 0)
  }
}

/** 2 sqrt(2 / pi), 0.044715, and three times that. */
const SLOPE: f32 = 1.5957691216057308
const CUBE: f32 = 0.044715
const CUBE_SLOPE: f32 = 0.134145

/** 1 + e^-z of silu, 1 + e^-2u of gelu; relu has none. */
function denominator<Gate>(z: v128): v128 {
  if (isRelu<Gate>()) return z
  const scaled = f32x4.mul(f32x4.splat(SLOPE), z)
  const exponent = isGelu<Gate>() ? f32x4.mul(scaled, stretched(z, CUBE)) : z
  return f32x4.add(f32x4.splat(1), exp4(f32x4.neg(exponent)))
}

/** 1 + cube z^2 */
function stretched(z: v128, cube: f32): v128 {
  return f32x4.add(f32x4.splat(1), f32x4.mul(f32x4.splat(cube), f32x4.mul(z, z)))
}

/** x times the gate's value: z / d, or of relu z where z is above 0. */
function times<Gate>(x: v128, z: v128, d: v128): v128 {
  if (isRelu<Gate>()) return v128.and(f32x4.mul(x, z), f32x4.gt(z, f32x4.splat(0)))
  return f32x4.mul(f32x4.div(z, d), x)
}

/** x times the gate's slope. With s = 1 / d: s (1 + z (1 - s)) of silu, s (1 + (z (1 - s)) (a (1 + 3 b z^2))) of gelu. */
function timesSlope<Gate>(x: v128, z: v128, d: v128): v128 {
  if (isRelu<Gate>()) return v128.and(x, f32x4.gt(z, f32x4.splat(0)))
  const ones = f32x4.splat(1)
  const s = f32x4.div(ones, d)
  const linear = f32x4.mul(z, f32x4.sub(ones, s))
  const slope = f32x4.mul(f32x4.splat(SLOPE), stretched(z, CUBE_SLOPE))
  const rest = isGelu<Gate>() ? f32x4.mul(linear, slope) : linear
  return f32x4.mul(x, f32x4.mul(s, f32x4.add(ones, rest)))
}

function isRelu<Gate>(): bool {
  return sizeof<Gate>() == sizeof<Relu>()
}

function isGelu<Gate>(): bool {
  return sizeof<Gate>() == sizeof<GeluTanh>()
}
