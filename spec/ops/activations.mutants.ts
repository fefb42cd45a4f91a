/**
 * Bugs planted in the operations of src/ops/activations.ts.
 */
import * as reluLaws from '../../src/verify/ops/relu.ts'
import { geluTanhGateLaws as geluLaws, siluGateLaws } from '../../src/verify/ops/smooth_gate.ts'
import { agree, mutant, type Mutant, gradients } from './mutant.ts'

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

  mutant(
    'gelu_tanh_gate',
    'leaves out the cube',
    [...agree('gelu_tanh_gate'), geluLaws.isClosedForm],
    () => (y, gate, up) =>
      y.set(gate.map((z, n) => (0.5 * z * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * z)) || 0) * up[n])),
  ),

  mutant(
    'gelu_tanh_gate',
    'is relu',
    [...agree('gelu_tanh_gate'), ...gradients('gelu_tanh_gate'), geluLaws.isClosedForm],
    () => (y, gate, up) => y.set(gate.map((z, n) => Math.max(z, 0) * up[n])),
  ),

  mutant(
    'gelu_tanh_gate',
    'takes up through gelu, and gate as it is',
    [...agree('gelu_tanh_gate'), geluLaws.isClosedForm, geluLaws.oddPart],
    (gelu_tanh_gate) => (y, gate, up, N) => gelu_tanh_gate(y, up, gate, N),
  ),

  mutant(
    'gelu_tanh_gate',
    'gives what it should with the other sign',
    [...agree('gelu_tanh_gate'), geluLaws.isClosedForm, geluLaws.skippedIsZero],
    (gelu_tanh_gate) => (y, gate, up, N) => {
      gelu_tanh_gate(y, gate, up, N)
      y.set(y.map((value) => -value))
    },
  ),

  mutant(
    'gelu_tanh_gate_backward',
    'exchanges gate and up',
    [...agree('gelu_tanh_gate_backward'), ...gradients('gelu_tanh_gate'), geluLaws.gradientIsClosedForm],
    (backward) => (gate_grad, up_grad, y_grad, gate, up, N) =>
      backward(up_grad, gate_grad, y_grad, gate, up, N),
  ),

  mutant(
    'gelu_tanh_gate_backward',
    'leaves out the factor 3 of the slope of a cube',
    [...agree('gelu_tanh_gate_backward'), ...gradients('gelu_tanh_gate'), geluLaws.gradientIsClosedForm],
    (backward) => (gate_grad, up_grad, y_grad, gate, up, N) => {
      backward(gate_grad, up_grad, y_grad, gate, up, N)
      gate_grad.set(
        gate.map((z, n) => {
          const slope = 2 * Math.sqrt(2 / Math.PI) * (1 + 0.044715 * z * z)
          const s = 1 / (1 + Math.exp(-slope * z))
          return y_grad[n] * up[n] * s * (1 + z * slope * (1 - s))
        }),
      )
    },
  ),
]
