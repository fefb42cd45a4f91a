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
import { defineOp, input, output, size, type PlainOp } from './op.ts'
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

/** Op definition. */
export const siluGateOp: PlainOp<typeof silu_gate> = defineOp({
  name: 'silu_gate',
  formula: 'y = gate / (1 + e^-gate) * up',
  params: [output('y', 'N', { mayAlias: 'gate' }), input('gate', 'N'), input('up', 'N'), size('N')],
  reference: silu_gate,
  flops: ({ N }) => 24 * N,
  gradients: [
    {
      of: ['gate', 'up'],
      op: 'silu_gate_backward',
      bind: { gate_grad: 'gate_grad', up_grad: 'up_grad', y_grad: 'y_grad', gate: 'gate', up: 'up', N: 'N' },
    },
  ],
})

/** Op definition. */
export const siluGateBackwardOp: PlainOp<typeof silu_gate_backward> = defineOp({
  name: 'silu_gate_backward',
  formula: 'gate_grad = y_grad up s (1 + gate (1 - s)), up_grad = y_grad gate s, s = 1 / (1 + e^-gate)',
  params: [
    output('gate_grad', 'N'),
    output('up_grad', 'N'),
    input('y_grad', 'N'),
    input('gate', 'N'),
    input('up', 'N'),
    size('N'),
  ],
  reference: silu_gate_backward,
  flops: ({ N }) => 32 * N,
})
