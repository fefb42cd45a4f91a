/**
 * Bugs planted in the operations of src/ops/relu.ts.
 */
import * as reluLaws from '../../src/verify/ops/relu.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'relu',
    'lets NaN through',
    agree('relu'),
    () => (y, x) => y.set(x.map((value) => (value <= 0 ? 0 : value))),
  ),

  mutant(
    'relu',
    'keeps the sign of a zero',
    [...agree('relu'), reluLaws.splitsInTwo],
    () => (y, x) => y.set(x.map((value) => (value < 0 ? 0 : value))),
  ),

  mutant(
    'relu_backward',
    'is open at the kink',
    [...agree('relu_backward'), reluLaws.gradientIsGate],
    () => (x_grad, y_grad, x) => x_grad.set(y_grad.map((g, n) => (x[n] >= 0 ? g : 0))),
  ),

  mutant(
    'relu_gate',
    'multiplies by what a closed gate would not look at',
    [...agree('relu_gate'), reluLaws.gateIsRelu],
    () => (y, gate, up) => y.set(gate.map((value, n) => (value > 0 ? value : 0) * up[n])),
  ),

  mutant(
    'relu_gate',
    'rectifies up',
    [...agree('relu_gate'), reluLaws.gateIsRelu],
    () => (y, gate, up) => y.set(up.map((value, n) => (value > 0 ? value * gate[n] : 0))),
  ),

  mutant(
    'relu_gate_backward',
    'exchanges the gradients',
    [...agree('relu_gate_backward'), reluLaws.gateGradientIsProduct],
    () => (gate_grad, up_grad, y_grad, gate, up) => {
      gate_grad.set(y_grad.map((g, n) => (gate[n] > 0 ? g * gate[n] : 0)))
      up_grad.set(y_grad.map((g, n) => (gate[n] > 0 ? g * up[n] : 0)))
    },
  ),

  mutant(
    'relu_gate_backward',
    'is open at the kink',
    [...agree('relu_gate_backward'), reluLaws.gateGradientIsProduct],
    () => (gate_grad, up_grad, y_grad, gate, up) => {
      gate_grad.set(y_grad.map((g, n) => (gate[n] >= 0 ? g * up[n] : 0)))
      up_grad.set(y_grad.map((g, n) => (gate[n] >= 0 ? g * gate[n] : 0)))
    },
  ),
]
