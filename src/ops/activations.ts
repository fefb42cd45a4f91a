/**
 * The activation functions of feed-forward blocks: relu of OPT, and gates that are multiplied by what they let through (SwiGLU,
 * Shazeer 2020, arXiv 2002.05202), by silu or by relu.
 *
 *   relu        y = x > 0 ? x : +0                                          x_grad = x > 0 ? y_grad : +0
 *   silu_gate   y = silu(gate) * up;  silu(z) = z / (1 + e^-z)
 *   relu_gate   y = gate > 0 ? gate * up : +0
 *
 * Backward of silu_gate, with s = 1 / (1 + e^-gate):
 *   gate_grad = (y_grad * up) * (s * (1 + gate * (1 - s)));   up_grad = y_grad * silu(gate)
 * and of relu_gate:
 *   gate_grad = gate > 0 ? y_grad * up : +0;                  up_grad = gate > 0 ? y_grad * gate : +0
 *
 * A skipped neuron has gate = up = +0, so that its activation is +0 too. Where a rectified gate is not above 0, `up` is not looked
 * at: its neuron may be left out. Where e^-z is past float32, below a z of about -88.7, silu is -0; silu of -Infinity is NaN, as
 * are both gradients of it.
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

/** The names of the functions that a gate may have. */
export const activations = ['silu', 'relu'] as const
export type Activation = (typeof activations)[number]

/** Gates with their gradients, by name: the ops `silu_gate` and the like. */
export const gates = {
  silu: { forward: silu_gate, backward: silu_gate_backward },
  relu: { forward: relu_gate, backward: relu_gate_backward },
} as const satisfies Record<Activation, unknown>
