/**
 * The activation functions that a gate may have, with their gradients: the ops named `silu_gate` and the like.
 */
import { relu_gate, relu_gate_backward } from './relu.ts'
import { silu_gate, silu_gate_backward } from './silu_gate.ts'

/** Their names. */
export const activations = ['silu', 'relu'] as const
export type Activation = (typeof activations)[number]

/** By name. */
export const gates = {
  silu: { forward: silu_gate, backward: silu_gate_backward },
  relu: { forward: relu_gate, backward: relu_gate_backward },
} as const satisfies Record<Activation, unknown>
