/**
 * linear is the product the mathematics means. That its order is the promised one is the business of agreement.ts; that
 * lists skip and that tokens are apart, of chosen.ts and tokens.ts.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { Data } from '../../testing/seeded_data.ts'
import { nearProduct, row } from '../product.ts'
import { forAll, type BackendLaw } from './law.ts'

const T = fc.integer({ min: 1, max: 7 })
const size = fc.nat({ max: 90 })
const seed = fc.nat()

export const isProduct: BackendLaw = forAll(
  'linear: x weightᵀ + bias, as in float64',
  [T, size, size, fc.boolean(), seed],
  (backend, T, O, I, hasBias, seed) => {
    const data = new Data(seed)
    const [x, weight] = [data.floats(T * I), data.floats(O * I)]
    const bias = hasBias ? data.floats(O) : null
    const { y } = call(backend, 'linear', { x, weight, bias, T, O, I })
    nearProduct(y, x, bias, { T, O, I }, (o) => row(weight, I, o))
  },
)
