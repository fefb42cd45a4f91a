/**
 * The contracts of relu, silu_gate, relu_gate and gelu_tanh_gate: parameters, cost and gradients.
 */
import { type PlainOp, defineOp, output, input, size } from '../op.ts'
import {
  gelu_tanh_gate,
  gelu_tanh_gate_backward,
  relu,
  relu_backward,
  relu_gate,
  relu_gate_backward,
  silu_gate,
  silu_gate_backward,
} from '../activations.ts'

/** Op definition. */
export const reluOp: PlainOp<typeof relu> = defineOp({
  name: 'relu',
  formula: 'y = x > 0 ? x : 0',
  params: [output('y', 'N', { mayAlias: 'x' }), input('x', 'N'), size('N')],
  reference: relu,
  flops: ({ N }) => N,
  gradients: [{ of: ['x'], op: 'relu_backward' }],
})

/** Op definition. */
export const reluBackwardOp: PlainOp<typeof relu_backward> = defineOp({
  name: 'relu_backward',
  formula: 'x_grad = x > 0 ? y_grad : 0',
  params: [output('x_grad', 'N', { mayAlias: 'y_grad' }), input('y_grad', 'N'), input('x', 'N'), size('N')],
  reference: relu_backward,
  flops: ({ N }) => N,
})

/** What every gate takes and gives. */
const gateParams = [output('y', 'N', { mayAlias: 'gate' }), input('gate', 'N'), input('up', 'N'), size('N')]

/** What the gradients of every gate take and give. */
const gateBackwardParams = [
  output('gate_grad', 'N'),
  output('up_grad', 'N'),
  input('y_grad', 'N'),
  input('gate', 'N'),
  input('up', 'N'),
  size('N'),
]

/** Op definition. */
export const reluGateOp: PlainOp<typeof relu_gate> = defineOp({
  name: 'relu_gate',
  formula: 'y = gate > 0 ? gate * up : 0',
  params: gateParams,
  reference: relu_gate,
  flops: ({ N }) => 2 * N,
  gradients: [{ of: ['gate', 'up'], op: 'relu_gate_backward' }],
})

/** Op definition. */
export const reluGateBackwardOp: PlainOp<typeof relu_gate_backward> = defineOp({
  name: 'relu_gate_backward',
  formula: 'gate_grad = gate > 0 ? y_grad up : 0, up_grad = gate > 0 ? y_grad gate : 0',
  params: gateBackwardParams,
  reference: relu_gate_backward,
  flops: ({ N }) => 4 * N,
})

/** Op definition. */
export const siluGateOp: PlainOp<typeof silu_gate> = defineOp({
  name: 'silu_gate',
  formula: 'y = gate / (1 + e^-gate) * up',
  params: gateParams,
  reference: silu_gate,
  flops: ({ N }) => 24 * N,
  gradients: [{ of: ['gate', 'up'], op: 'silu_gate_backward' }],
})

/** Op definition. */
export const siluGateBackwardOp: PlainOp<typeof silu_gate_backward> = defineOp({
  name: 'silu_gate_backward',
  formula: 'gate_grad = y_grad up s (1 + gate (1 - s)), up_grad = y_grad gate s, s = 1 / (1 + e^-gate)',
  params: gateBackwardParams,
  reference: silu_gate_backward,
  flops: ({ N }) => 32 * N,
})

/** Op definition. */
export const geluTanhGateOp: PlainOp<typeof gelu_tanh_gate> = defineOp({
  name: 'gelu_tanh_gate',
  formula: 'y = gate / (1 + e^-2u) * up, 2u = a gate (1 + b gate^2), a = 2 sqrt(2 / pi), b = 0.044715',
  params: gateParams,
  reference: gelu_tanh_gate,
  flops: ({ N }) => 29 * N,
  gradients: [{ of: ['gate', 'up'], op: 'gelu_tanh_gate_backward' }],
})

/** Op definition. */
export const geluTanhGateBackwardOp: PlainOp<typeof gelu_tanh_gate_backward> = defineOp({
  name: 'gelu_tanh_gate_backward',
  formula:
    'gate_grad = y_grad up s (1 + gate (1 - s) a (1 + 3 b gate^2)), up_grad = y_grad gate s, s = 1 / (1 + e^-2u)',
  params: gateBackwardParams,
  reference: gelu_tanh_gate_backward,
  flops: ({ N }) => 42 * N,
})
