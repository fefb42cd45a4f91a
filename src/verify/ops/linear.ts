/**
 * linear and linear_input_major are the product the mathematics means, of a matrix stored either way, and linear_backward its
 * derivative. That orders are the promised ones is a law of agreement.ts; that lists skip and that tokens are apart, of
 * chosen.ts and tokens.ts.
 *
 * Whatever the order, a float32 sum of n products is within n + 1 half units of the sum of their sizes (Higham,
 * Accuracy and Stability of Numerical Algorithms, section 3.1).
 *
 * Tests src/ops/linear.ts and src/ops/linear_input_major.ts.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits, sameNumbers } from '../compare.ts'
import { dot64, dotSize64 } from '../float64.ts'
import type { Shape } from '../../testing/seeded_data.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

type Product = 'linear' | 'linear_input_major'

const products = ['linear', 'linear_input_major'] as const
const T = fc.integer({ min: 1, max: 7 })
const size = fc.nat({ max: 90 })

/** Column o of a matrix [., width]. */
function column(matrix: Float32Array, width: number, o: number): number[] {
  return Array.from({ length: matrix.length / width }, (_, i) => matrix[i * width + o])
}

function isProductOf(op: Product, formula: string): BackendLaw {
  return forAll(
    `${op}: ${formula} + bias, as in float64`,
    { T, O: size, I: size, hasBias: fc.boolean(), data: anyData },
    (backend, { T, O, I, hasBias, data }) => {
      const [x, weight] = [data.floats('x', [T, I]), data.floats('weight', [O, I])]
      const bias = hasBias ? data.floats('bias', O) : null
      const { y } = call(backend, op, { x, weight, bias, T, O, I })
      for (let t = 0; t < T; t++)
        for (let o = 0; o < O; o++) {
          const token = x.subarray(t * I, (t + 1) * I)
          const vector = op === 'linear' ? weight.subarray(o * I, (o + 1) * I) : column(weight, O, o)
          const expected = dot64(token, vector) + (bias?.[o] ?? 0)
          const sizes = dotSize64(token, vector) + Math.abs(bias?.[o] ?? 0)
          near(`y[${t}, ${o}]`, [y[t * O + o]], [expected], ((I + 2) / 2) * epsilon32 * sizes)
        }
    },
  )
}

export const isProduct: BackendLaw = isProductOf('linear', 'x weightᵀ')
export const isInputMajorProduct: BackendLaw = isProductOf('linear_input_major', 'x weight')

export const addsInOrder: BackendLaw = forAll(
  'linear_input_major: a list in any order adds its rows in that order, bit for bit',
  { T, O: size, I: size, data: anyData },
  (backend, { T, O, I, data }) => {
    const inputs = data.someInAnyOrder('inputs', I)
    const R = inputs.length
    const [x, weight, bias] = [
      data.floats('x', [T, I]),
      data.floats('weight', [I, O]),
      data.floats('bias', O),
    ]
    const movedX = new Float32Array(T * R).map((_, n) => x[Math.floor(n / R) * I + inputs[n % R]])
    const movedWeight = Float32Array.from(
      { length: R * O },
      (_, n) => weight[inputs[Math.floor(n / O)] * O + (n % O)],
    )
    const { y } = call(backend, 'linear_input_major', { x: movedX, weight: movedWeight, bias, T, O, I: R })
    sameBits('y', call(backend, 'linear_input_major', { x, weight, bias, inputs, T, O, I, R }).y, y)
  },
)

export const identity: BackendLaw = forAll(
  'linear, linear_input_major: the identity matrix gives x back',
  { T, D: size, data: anyData },
  (backend, { T, D, data }) => {
    const x = data.floats('x', [T, D], 'wild')
    const weight = new Float32Array(D * D).map((_, i) => (i % (D + 1) === 0 ? 1 : 0))
    for (const name of products) sameNumbers(name, call(backend, name, { x, weight, T, O: D, I: D }).y, x)
  },
)

export const oneStoredTwice: BackendLaw = forAll(
  'linear, linear_input_major: one matrix stored either way, the same sums where they are exact',
  { T, O: size, I: size, data: anyData },
  (backend, { T, O, I, data }) => {
    // Small whole numbers: every product and every sum is exact in float32, in any order.
    const whole = (name: string, shape: Shape): Float32Array =>
      data.numbers(name, shape, (stream) => stream.integer(-9, 9), 0)
    const [x, weight, bias] = [whole('x', [T, I]), whole('weight', [O, I]), whole('bias', O)]
    const stored = call(backend, 'transpose', { x: weight, O, I }).y
    const { y } = call(backend, 'linear', { x, weight, bias, T, O, I })
    sameBits('y', call(backend, 'linear_input_major', { x, weight: stored, bias, T, O, I }).y, y)
  },
)

export const weightGradientIsProduct: BackendLaw = forAll(
  'linear_backward_weight: the previous value plus y_gradᵀ x, as in float64',
  { T: fc.nat({ max: 19 }), O: size, I: size, data: anyData },
  (backend, { T, O, I, data }) => {
    const [weight_grad, y_grad, x] = [
      data.floats('weight_grad', [O, I]),
      data.floats('y_grad', [T, O]),
      data.floats('x', [T, I]),
    ]
    const found = call(backend, 'linear_backward_weight', { weight_grad, y_grad, x, T, O, I })
    for (let o = 0; o < O; o++)
      for (let i = 0; i < I; i++) {
        const [g, v] = [column(y_grad, O, o), column(x, I, i)]
        const before = weight_grad[o * I + i]
        const error = ((T + 2) / 2) * epsilon32 * (dotSize64(g, v) + Math.abs(before))
        near(`weight_grad[${o}, ${i}]`, [found.weight_grad[o * I + i]], [before + dot64(g, v)], error)
      }
  },
  { runs: 40 },
)

export const biasGradientIsSum: BackendLaw = forAll(
  'linear_backward_bias: the previous value plus the sum of y_grad over tokens, as in float64',
  { T: fc.nat({ max: 19 }), O: size, data: anyData },
  (backend, { T, O, data }) => {
    const [bias_grad, y_grad] = [data.floats('bias_grad', O), data.floats('y_grad', [T, O])]
    const found = call(backend, 'linear_backward_bias', { bias_grad, y_grad, T, O })
    for (let o = 0; o < O; o++) {
      const terms = [bias_grad[o], ...column(y_grad, O, o)]
      const ones = new Float32Array(T + 1).fill(1)
      const error = ((T + 1) / 2) * epsilon32 * dotSize64(terms, ones)
      near(`bias_grad[${o}]`, [found.bias_grad[o]], [dot64(terms, ones)], error)
    }
  },
)
