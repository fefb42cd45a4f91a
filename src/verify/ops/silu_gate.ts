/**
 * silu_gate against float64, and what silu is.
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
const { abs, exp } = Math

/** e^x is within 2 units in the last place; then a sum, a quotient and a product are rounded. */
const accuracy = 4 * epsilon32
/** Where e^-gate is past float32, below a gate of -88.7, silu and its slope are 0 and not 2^-121; other factors reach 4. */
const least = 2 ** -118

const sigmoid = (z: number): number => 1 / (1 + exp(-z))

function siluGate(backend: Backend, gate: Float32Array, up: Float32Array): Float32Array {
  return call(backend, 'silu_gate', { gate, up, N: gate.length }).y
}

export const isClosedForm: BackendLaw = forAll(
  'silu_gate: gate / (1 + e^-gate) * up, as in float64',
  { N, data: anyData },
  (backend, { N, data }) => {
    const [gate, up] = [data.floats('gate', N, 'steep'), data.floats('up', N)]
    const expected = Array.from(gate, (z, n) => z * sigmoid(z) * up[n])
    const error = expected.map((y) => accuracy * abs(y) + least)
    near('y', siluGate(backend, gate, up), expected, error)
  },
)

export const oddPart: BackendLaw = forAll(
  'silu_gate: silu(z) - silu(-z) = z',
  { N, data: anyData },
  (backend, { N, data }) => {
    const z = data.floats('z', N, 'steep')
    const silu = (gate: Float32Array): Float32Array => siluGate(backend, gate, new Float32Array(N).fill(1))
    const [there, back] = [silu(z), silu(z.map((value) => -value))]
    // The two have the sizes |z| s and |z| (1 - s).
    const error = z.map((value) => accuracy * abs(value) + least)
    const difference = Float64Array.from(there, (value, n) => value - back[n])
    near('difference', difference, z, error)
  },
)

export const skippedIsZero: BackendLaw = forAll(
  'silu_gate: a neuron whose gate and up are +0 gives +0, and gets no gradient',
  { N, data: anyData },
  (backend, { N, data }) => {
    const zeros = new Float32Array(N)
    sameBits('y', siluGate(backend, zeros, zeros), zeros)
    const y_grad = data.floats('y_grad', N)
    const found = call(backend, 'silu_gate_backward', { y_grad, gate: zeros, up: zeros, N })
    sameNumbers('gate_grad', found.gate_grad, zeros)
    sameNumbers('up_grad', found.up_grad, zeros)
  },
)

export const gradientIsClosedForm: BackendLaw = forAll(
  'silu_gate_backward: y_grad up s (1 + gate (1 - s)) and y_grad gate s, s = 1 / (1 + e^-gate), as in float64',
  { N, data: anyData },
  (backend, { N, data }) => {
    const [y_grad, gate, up] = [
      data.floats('y_grad', N),
      data.floats('gate', N, 'steep'),
      data.floats('up', N),
    ]
    const { gate_grad, up_grad } = call(backend, 'silu_gate_backward', { y_grad, gate, up, N })
    gate.forEach((z, n) => {
      const s = sigmoid(z)
      const factor = y_grad[n] * up[n]
      // 1 - s is off by as much as s, however small it is, and is multiplied by gate.
      const error = 3 * accuracy * s * (1 + abs(z)) * abs(factor) + least
      near(`gate_grad[${n}]`, [gate_grad[n]], [factor * s * (1 + z * sigmoid(-z))], error)
      const ofUp = accuracy * abs(y_grad[n] * z * s) + least
      near(`up_grad[${n}]`, [up_grad[n]], [y_grad[n] * z * s], ofUp)
    })
  },
)
