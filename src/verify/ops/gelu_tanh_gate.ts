/**
 * gelu_tanh_gate against float64, and what gelu is.
 *
 * Tests src/ops/activations.ts.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits, sameNumbers } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const N = fc.integer({ min: 1, max: 70 })
const { abs, exp, tanh, sqrt, PI } = Math

/** e^x is within 2 units in the last place; then a sum, a quotient and a product are rounded. */
const accuracy = 4 * epsilon32
/** Where e^-2u is past float32, 2u below -88.7, gelu and its slope are 0 and not 2^-120; other factors reach 2^7. */
const least = 2 ** -112

/** The exponent 2u, which is rounded four times before e is raised to it. */
const exponentOf = (z: number): number => 2 * sqrt(2 / PI) * (z + 0.044715 * z ** 3)
const ofExponent = (z: number): number => 4 * epsilon32 * abs(exponentOf(z))
const sigmoid = (x: number): number => 1 / (1 + exp(-x))

function geluGate(backend: Backend, gate: Float32Array, up: Float32Array): Float32Array {
  return call(backend, 'gelu_tanh_gate', { gate, up, N: gate.length }).y
}

export const isClosedForm: BackendLaw = forAll(
  'gelu_tanh_gate: gate (1 + tanh(sqrt(2 / pi) (gate + 0.044715 gate^3))) / 2 * up, as in float64',
  { N, data: anyData },
  (backend, { N, data }) => {
    const [gate, up] = [data.floats('gate', N, 'steep'), data.floats('up', N)]
    const expected = Array.from(gate, (z, n) => 0.5 * z * (1 + tanh(exponentOf(z) / 2)) * up[n])
    // 1 + tanh is near 0 where z is far below it: there float64 has few digits.
    const error = expected.map(
      (y, n) => (accuracy + ofExponent(gate[n])) * abs(y) + 2 ** -51 * abs(gate[n] * up[n]) + least,
    )
    near('y', geluGate(backend, gate, up), expected, error)
  },
)

export const oddPart: BackendLaw = forAll(
  'gelu_tanh_gate: gelu(z) - gelu(-z) = z',
  { N, data: anyData },
  (backend, { N, data }) => {
    const z = data.floats('z', N, 'steep')
    const gelu = (gate: Float32Array): Float32Array => geluGate(backend, gate, new Float32Array(N).fill(1))
    const [there, back] = [gelu(z), gelu(z.map((value) => -value))]
    // The two have the sizes |z| s and |z| (1 - s).
    const error = z.map((value) => {
      const lesser = sigmoid(-abs(exponentOf(value)))
      return (accuracy + 2 * lesser * ofExponent(value)) * abs(value) + least
    })
    const difference = Float64Array.from(there, (value, n) => value - back[n])
    near('difference', difference, z, error)
  },
)

export const skippedIsZero: BackendLaw = forAll(
  'gelu_tanh_gate: a neuron whose gate and up are +0 gives +0, and gets no gradient',
  { N, data: anyData },
  (backend, { N, data }) => {
    const zeros = new Float32Array(N)
    sameBits('y', geluGate(backend, zeros, zeros), zeros)
    const y_grad = data.floats('y_grad', N)
    const found = call(backend, 'gelu_tanh_gate_backward', { y_grad, gate: zeros, up: zeros, N })
    sameNumbers('gate_grad', found.gate_grad, zeros)
    sameNumbers('up_grad', found.up_grad, zeros)
  },
)

export const gradientIsClosedForm: BackendLaw = forAll(
  'gelu_tanh_gate_backward: the slope of gelu times y_grad up, and y_grad gelu(gate), as in float64',
  { N, data: anyData },
  (backend, { N, data }) => {
    const [y_grad, gate, up] = [
      data.floats('y_grad', N),
      data.floats('gate', N, 'steep'),
      data.floats('up', N),
    ]
    const { gate_grad, up_grad } = call(backend, 'gelu_tanh_gate_backward', { y_grad, gate, up, N })
    gate.forEach((z, n) => {
      const x = exponentOf(z)
      const s = sigmoid(x)
      const slope = 2 * sqrt(2 / PI) * (1 + 3 * 0.044715 * z * z)
      const factor = y_grad[n] * up[n]
      const relative = accuracy + ofExponent(z)
      // 1 - s is off by as much as s, however small it is, and is multiplied by gate.
      const error = 3 * relative * s * (1 + abs(z * slope)) * abs(factor) + least
      near(`gate_grad[${n}]`, [gate_grad[n]], [factor * s * (1 + z * slope * sigmoid(-x))], error)
      const ofUp = relative * abs(y_grad[n] * z * s) + least
      near(`up_grad[${n}]`, [up_grad[n]], [y_grad[n] * z * s], ofUp)
    })
  },
)
