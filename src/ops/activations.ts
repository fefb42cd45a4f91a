/**
 * The activation functions of feed-forward blocks: relu of OPT, and gates that are multiplied by what they let through (SwiGLU,
 * Shazeer 2020, arXiv 2002.05202), by silu, by relu, or by gelu in its form with tanh (Hendrycks and Gimpel 2016, arXiv 1606.08415).
 *
 *   relu        y = x > 0 ? x : +0                                          x_grad = x > 0 ? y_grad : +0
 *   silu_gate   y = silu(gate) * up;  silu(z) = z / (1 + e^-z)
 *   relu_gate   y = gate > 0 ? gate * up : +0
 *   gelu_tanh_gate
 *               y = gelu(gate) * up;  gelu(z) = z (1 + tanh(u)) / 2 = z / (1 + e^(-2 u)),  2 u = a z (1 + b z^2)
 *                                                                         a = 2 sqrt(2 / pi), b = 0.044715
 *
 * Backward of silu_gate, with s = 1 / (1 + e^-gate):
 *   gate_grad = (y_grad * up) * (s * (1 + gate * (1 - s)));   up_grad = y_grad * silu(gate)
 * and of relu_gate:
 *   gate_grad = gate > 0 ? y_grad * up : +0;                  up_grad = gate > 0 ? y_grad * gate : +0
 * and of gelu_tanh_gate, with s = 1 / (1 + e^(-2 u)):
 *   gate_grad = (y_grad * up) * (s * (1 + (gate * (1 - s)) * (a * (1 + 3 b gate^2))));   up_grad = y_grad * gelu(gate)
 *
 * A skipped neuron has gate = up = +0, so that its activation is +0 too. Where a rectified gate is not above 0, `up` is not looked
 * at: its neuron may be left out. Where e^-z is past float32, below a z of about -88.7, silu is -0; silu of -Infinity is NaN, as
 * are both gradients of it. gelu is -0 likewise, below a z of about -10; its gradients are finite where z^2 is.
 */
import { exp } from './float32.ts'

const { fround } = Math

/** y = max(x, 0); NaN gives +0. */
export function relu(y: Float32Array, x: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = x[n] > 0 ? x[n] : 0
}

/** x_grad = y_grad where x > 0, else +0. At the kink the gradient is 0, as in PyTorch. */
export function relu_backward(x_grad: Float32Array, y_grad: Float32Array, x: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) x_grad[n] = x[n] > 0 ? y_grad[n] : 0
}

/** y = max(gate, 0) * up; a NaN of the gate gives +0. */
export function relu_gate(y: Float32Array, gate: Float32Array, up: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = gate[n] > 0 ? gate[n] * up[n] : 0
}

/** Gradients of relu_gate. */
export function relu_gate_backward(
  gate_grad: Float32Array, // [N]
  up_grad: Float32Array, // [N]
  y_grad: Float32Array, // [N]
  gate: Float32Array, // [N]
  up: Float32Array, // [N]
  N: number,
): void {
  for (let n = 0; n < N; n++) {
    const isOpen = gate[n] > 0
    gate_grad[n] = isOpen ? y_grad[n] * up[n] : 0
    up_grad[n] = isOpen ? y_grad[n] * gate[n] : 0
  }
}

/** 1 + e^-z */
function denominator(z: number): number {
  return fround(1 + exp(-z))
}

/** y = silu(gate) * up. */
export function silu_gate(y: Float32Array, gate: Float32Array, up: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = fround(gate[n] / denominator(gate[n])) * up[n]
}

/** Gradients of silu_gate. */
export function silu_gate_backward(
  gate_grad: Float32Array, // [N]
  up_grad: Float32Array, // [N]
  y_grad: Float32Array, // [N]
  gate: Float32Array, // [N]
  up: Float32Array, // [N]
  N: number,
): void {
  for (let n = 0; n < N; n++) {
    const z = gate[n]
    const d = denominator(z)
    const s = fround(1 / d)
    const slope = fround(s * fround(1 + fround(z * fround(1 - s))))
    gate_grad[n] = fround(y_grad[n] * up[n]) * slope
    up_grad[n] = y_grad[n] * fround(z / d)
  }
}

/** 2 sqrt(2 / pi) */
const GELU_SLOPE = fround(1.5957691216057308)
const GELU_CUBE = fround(0.044715)
const GELU_CUBE_SLOPE = fround(3 * 0.044715)

/** 1 + e^(-2 u), 2 u = (a z) (1 + b z^2) */
function geluDenominator(z: number): number {
  const square = fround(z * z)
  return denominator(fround(fround(GELU_SLOPE * z) * fround(1 + fround(GELU_CUBE * square))))
}

/** y = gelu(gate) * up. */
export function gelu_tanh_gate(y: Float32Array, gate: Float32Array, up: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = fround(gate[n] / geluDenominator(gate[n])) * up[n]
}

/** Gradients of gelu_tanh_gate. */
export function gelu_tanh_gate_backward(
  gate_grad: Float32Array, // [N]
  up_grad: Float32Array, // [N]
  y_grad: Float32Array, // [N]
  gate: Float32Array, // [N]
  up: Float32Array, // [N]
  N: number,
): void {
  for (let n = 0; n < N; n++) {
    const z = gate[n]
    const d = geluDenominator(z)
    const s = fround(1 / d)
    const inner = fround(GELU_SLOPE * fround(1 + fround(GELU_CUBE_SLOPE * fround(z * z))))
    const slope = fround(s * fround(1 + fround(fround(z * fround(1 - s)) * inner)))
    gate_grad[n] = fround(y_grad[n] * up[n]) * slope
    up_grad[n] = y_grad[n] * fround(z / d)
  }
}

/** The names of the functions that a gate may have. */
export const activations = ['silu', 'relu', 'gelu_tanh'] as const
export type Activation = (typeof activations)[number]

/** Gates with their gradients, by name: the ops `silu_gate` and the like. */
export const gates = {
  silu: { forward: silu_gate, backward: silu_gate_backward },
  relu: { forward: relu_gate, backward: relu_gate_backward },
  gelu_tanh: { forward: gelu_tanh_gate, backward: gelu_tanh_gate_backward },
} as const satisfies Record<Activation, unknown>
