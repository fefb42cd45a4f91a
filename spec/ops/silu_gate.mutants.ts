/**
 * Bugs planted in the operations of src/ops/silu_gate.ts.
 */
import * as siluGateLaws from '../../src/verify/ops/silu_gate.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'silu_gate',
    'leaves out the gate itself',
    [...agree('silu_gate'), ...gradients('silu_gate'), siluGateLaws.isClosedForm, siluGateLaws.oddPart],
    () => (y, gate, up) => y.set(gate.map((z, n) => up[n] / (1 + Math.exp(-z)))),
  ),

  mutant(
    'silu_gate',
    'is not smooth: relu in place of silu',
    [...agree('silu_gate'), ...gradients('silu_gate'), siluGateLaws.isClosedForm],
    () => (y, gate, up) => y.set(gate.map((z, n) => Math.max(z, 0) * up[n])),
  ),

  mutant(
    'silu_gate',
    'takes up through silu, and gate as it is',
    [...agree('silu_gate'), siluGateLaws.isClosedForm, siluGateLaws.oddPart],
    (silu_gate) => (y, gate, up, N) => silu_gate(y, up, gate, N),
  ),

  mutant(
    'silu_gate',
    'gives what it should with the other sign',
    [...agree('silu_gate'), siluGateLaws.isClosedForm, siluGateLaws.skippedIsZero],
    (silu_gate) => (y, gate, up, N) => {
      silu_gate(y, gate, up, N)
      y.set(y.map((value) => -value))
    },
  ),

  mutant(
    'silu_gate_backward',
    'exchanges gate and up',
    [...agree('silu_gate_backward'), ...gradients('silu_gate'), siluGateLaws.gradientIsClosedForm],
    (backward) => (gate_grad, up_grad, y_grad, gate, up, N) =>
      backward(up_grad, gate_grad, y_grad, gate, up, N),
  ),

  mutant(
    'silu_gate_backward',
    'takes the sigmoid for the slope of silu',
    [...agree('silu_gate_backward'), ...gradients('silu_gate'), siluGateLaws.gradientIsClosedForm],
    (backward) => (gate_grad, up_grad, y_grad, gate, up, N) => {
      backward(gate_grad, up_grad, y_grad, gate, up, N)
      gate_grad.set(gate.map((z, n) => (y_grad[n] * up[n]) / (1 + Math.exp(-z))))
    },
  ),
]
