/**
 * silu_gate: the activation of a gated feed-forward block (SwiGLU, Shazeer 2020, arXiv 2002.05202).
 *
 *   y = silu(gate) * up;   silu(z) = z / (1 + e^-z)
 *
 * Backward, with s = 1 / (1 + e^-gate):
 *   gate_grad = (y_grad * up) * (s * (1 + gate * (1 - s)));   up_grad = y_grad * silu(gate)
 *
 * A skipped neuron has gate = up = +0, so that its activation is +0 too. Where e^-z is past float32, below a z of about
 * -88.7, silu is -0; silu of -Infinity is NaN, as are both gradients.
 */
import { exp } from './float32.ts'

const { fround } = Math

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
