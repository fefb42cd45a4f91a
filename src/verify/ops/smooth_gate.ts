/**
 * silu_gate and gelu_tanh_gate against float64, and what both functions are: z times the sigmoid of an exponent of z.
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
const { abs, exp, sqrt, PI } = Math

/** e^x is within 2 units in the last place; then a sum, a quotient and a product are rounded. */
const accuracy = 4 * epsilon32

const sigmoid = (z: number): number => 1 / (1 + exp(-z))

/** A gate whose function is z sigmoid(e(z)). */
interface SmoothGate {
  readonly name: 'silu' | 'gelu_tanh'
  /** What the gate and its gradients give, in words. */
  readonly formula: string
  readonly gradients: string
  /** e(z), and its slope times z. */
  readonly exponent: (z: number) => number
  readonly slope: (z: number) => number
  /** What the rounding of the exponent makes the power of e be off by, as a share of it. */
  readonly ofExponent: (z: number) => number
  /** Where e^-e(z) is past float32, the gate and its slope are 0 and not next to nothing: by how much, times what other factors reach. */
  readonly least: number
}

/** The laws of one gate. */
function smoothGateLaws({ name, formula, gradients, exponent, slope, ofExponent, least }: SmoothGate) {
  const op = `${name}_gate` as const
  const gateOf = (backend: Backend, gate: Float32Array, up: Float32Array): Float32Array =>
    call(backend, op, { gate, up, N: gate.length }).y
  const relative = (z: number): number => accuracy + ofExponent(z)
  return {
    isClosedForm: forAll(`${op}: ${formula}, as in float64`, { N, data: anyData }, (backend, { N, data }) => {
      const [gate, up] = [data.floats('gate', N, 'steep'), data.floats('up', N)]
      const expected = Array.from(gate, (z, n) => z * sigmoid(exponent(z)) * up[n])
      const error = expected.map((y, n) => relative(gate[n]) * abs(y) + least)
      near('y', gateOf(backend, gate, up), expected, error)
    }),

    oddPart: forAll(`${op}: ${name}(z) - ${name}(-z) = z`, { N, data: anyData }, (backend, { N, data }) => {
      const z = data.floats('z', N, 'steep')
      const ones = new Float32Array(N).fill(1)
      const [there, back] = [z, z.map((value) => -value)].map((gate) => gateOf(backend, gate, ones))
      // The two have the sizes |z| s and |z| (1 - s).
      const error = z.map((value) => {
        const lesser = sigmoid(-abs(exponent(value)))
        return (accuracy + 2 * lesser * ofExponent(value)) * abs(value) + least
      })
      const difference = Float64Array.from(there, (value, n) => value - back[n])
      near('difference', difference, z, error)
    }),

    skippedIsZero: forAll(
      `${op}: a neuron whose gate and up are +0 gives +0, and gets no gradient`,
      { N, data: anyData },
      (backend, { N, data }) => {
        const zeros = new Float32Array(N)
        sameBits('y', gateOf(backend, zeros, zeros), zeros)
        const y_grad = data.floats('y_grad', N)
        const found = call(backend, `${op}_backward`, { y_grad, gate: zeros, up: zeros, N })
        sameNumbers('gate_grad', found.gate_grad, zeros)
        sameNumbers('up_grad', found.up_grad, zeros)
      },
    ),

    gradientIsClosedForm: forAll(
      `${op}_backward: ${gradients}, as in float64`,
      { N, data: anyData },
      (backend, { N, data }) => {
        const [y_grad, gate, up] = [
          data.floats('y_grad', N),
          data.floats('gate', N, 'steep'),
          data.floats('up', N),
        ]
        const { gate_grad, up_grad } = call(backend, `${op}_backward`, { y_grad, gate, up, N })
        gate.forEach((z, n) => {
          const x = exponent(z)
          const s = sigmoid(x)
          const factor = y_grad[n] * up[n]
          // 1 - s is off by as much as s, however small it is, and is multiplied by z and the slope.
          const error = 3 * relative(z) * s * (1 + abs(slope(z))) * abs(factor) + least
          near(`gate_grad[${n}]`, [gate_grad[n]], [factor * s * (1 + slope(z) * sigmoid(-x))], error)
          const ofUp = relative(z) * abs(y_grad[n] * z * s) + least
          near(`up_grad[${n}]`, [up_grad[n]], [y_grad[n] * z * s], ofUp)
        })
      },
    ),
  } satisfies Record<string, BackendLaw>
}

type SmoothGateLaws = Readonly<
  Record<'isClosedForm' | 'oddPart' | 'skippedIsZero' | 'gradientIsClosedForm', BackendLaw>
>

export const siluGateLaws: SmoothGateLaws = smoothGateLaws({
  name: 'silu',
  formula: 'gate / (1 + e^-gate) * up',
  gradients: 'y_grad up s (1 + gate (1 - s)) and y_grad gate s, s = 1 / (1 + e^-gate)',
  exponent: (z) => z,
  slope: (z) => z,
  ofExponent: () => 0,
  // Below a gate of -88.7; 2^-121, and other factors reach 4.
  least: 2 ** -118,
})

/** Its exponent is rounded four times before e is raised to it. */
const geluExponent = (z: number): number => 2 * sqrt(2 / PI) * (z + 0.044715 * z ** 3)

export const geluTanhGateLaws: SmoothGateLaws = smoothGateLaws({
  name: 'gelu_tanh',
  formula: 'gate (1 + tanh(u)) / 2 * up = gate / (1 + e^-2u) * up, u = sqrt(2 / pi) (gate + 0.044715 gate^3)',
  gradients: 'the slope of gelu times y_grad up, and y_grad gelu(gate)',
  exponent: geluExponent,
  slope: (z) => 2 * sqrt(2 / PI) * (z + 3 * 0.044715 * z ** 3),
  ofExponent: (z) => 4 * epsilon32 * abs(geluExponent(z)),
  // Where 2u is below -88.7; 2^-120, and other factors reach 2^7.
  least: 2 ** -112,
})
