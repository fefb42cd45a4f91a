/**
 * relu and its gradient by their symmetries, and relu_gate by relu.
 *
 * Tests src/ops/activations.ts.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { sameBits, sameNumbers } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const N = fc.nat({ max: 200 })

export const splitsInTwo: BackendLaw = forAll(
  'relu: x = relu(x) - relu(-x), neither part is negative, and a zero is +0',
  { N, data: anyData },
  (backend, { N, data }) => {
    const x = data.floats('x', N, 'wild')
    const up = call(backend, 'relu', { x, N }).y
    const down = call(backend, 'relu', { x: x.map((value) => -value), N }).y
    const difference = up.map((value, n) => value - down[n])
    sameNumbers('x', difference, x)
    for (const part of [up, down]) sameBits('sign', part, part.map(Math.abs))
  },
)

export const gradientIsGate: BackendLaw = forAll(
  'relu_backward: passes y_grad where x > 0; at 0 and at NaN it gives 0',
  { N, data: anyData },
  (backend, { N, data }) => {
    const [x, y_grad] = [data.floats('x', N, 'broken'), data.floats('y_grad', N, 'smooth')]
    const { y } = call(backend, 'relu', { x, N })
    const { x_grad } = call(backend, 'relu_backward', { y_grad, x, N })
    const expected = y_grad.map((g, n) => (y[n] === 0 ? 0 : g))
    sameBits('x_grad', x_grad, expected)
  },
)

export const gateIsRelu: BackendLaw = forAll(
  'relu_gate: relu(gate) times up, and +0 without a look at up where the gate is not above 0',
  { N, data: anyData },
  (backend, { N, data }) => {
    const [gate, up] = [data.floats('gate', N, 'broken'), data.floats('up', N, 'broken')]
    const open = call(backend, 'relu', { x: gate, N }).y
    const { y } = call(backend, 'relu_gate', { gate, up, N })
    const expected = open.map((value, n) => (value === 0 ? 0 : value * up[n]))
    sameNumbers('y', y, expected)
    open.forEach((value, n) => value === 0 && sameBits(`y[${n}]`, y.subarray(n, n + 1), new Float32Array(1)))
  },
)

export const gateGradientIsProduct: BackendLaw = forAll(
  'relu_gate_backward: y_grad times the other factor where the gate is above 0, else +0',
  { N, data: anyData },
  (backend, { N, data }) => {
    const [gate, up] = [data.floats('gate', N, 'broken'), data.floats('up', N)]
    const y_grad = data.floats('y_grad', N, 'smooth')
    const { gate_grad, up_grad } = call(backend, 'relu_gate_backward', { y_grad, gate, up, N })
    const times = (other: Float32Array): Float32Array =>
      y_grad.map((g, n) => (gate[n] > 0 ? g * other[n] : 0))
    sameNumbers('gate_grad', gate_grad, times(up))
    sameNumbers('up_grad', up_grad, times(gate))
  },
)
