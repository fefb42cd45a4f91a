/**
 * linear_backward_weight and linear_backward_bias against float64 sums over tokens.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { dot64, dotSize64 } from '../float64.ts'
import { column } from '../product.ts'
import { forAll, type BackendLaw } from './law.ts'

const size = fc.nat({ max: 90 })
const seed = fc.nat()

export const weightGradientIsProduct: BackendLaw = forAll(
  'linear_backward_weight: the previous value plus y_gradᵀ x, as in float64',
  [fc.nat({ max: 19 }), size, size, seed],
  (backend, T, O, I, seed) => {
    const data = new Data(seed)
    const [weight_grad, y_grad, x] = [data.floats(O * I), data.floats(T * O), data.floats(T * I)]
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
  [fc.nat({ max: 19 }), size, seed],
  (backend, T, O, seed) => {
    const data = new Data(seed)
    const [bias_grad, y_grad] = [data.floats(O), data.floats(T * O)]
    const found = call(backend, 'linear_backward_bias', { bias_grad, y_grad, T, O })
    for (let o = 0; o < O; o++) {
      const terms = [bias_grad[o], ...column(y_grad, O, o)]
      const ones = new Float32Array(T + 1).fill(1)
      const error = ((T + 1) / 2) * epsilon32 * dotSize64(terms, ones)
      near(`bias_grad[${o}]`, [found.bias_grad[o]], [dot64(terms, ones)], error)
    }
  },
)
