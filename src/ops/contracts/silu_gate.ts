/**
 * The contract of silu_gate: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, output, input, size } from '../op.ts'
import { silu_gate, silu_gate_backward } from '../silu_gate.ts'

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
