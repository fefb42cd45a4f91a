/**
 * linear_input_major is the same product as linear, of the matrix stored the other way.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { sameBits, sameNumbers } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { column, nearProduct } from '../product.ts'
import { forAll, type BackendLaw } from './law.ts'

const T = fc.integer({ min: 1, max: 7 })
const size = fc.nat({ max: 90 })
const seed = fc.nat()

export const isProduct: BackendLaw = forAll(
  'linear_input_major: x weight + bias, as in float64',
  [T, size, size, fc.boolean(), seed],
  (backend, T, O, I, hasBias, seed) => {
    const data = new Data(seed)
    const [x, weight] = [data.floats(T * I), data.floats(I * O)]
    const bias = hasBias ? data.floats(O) : null
    const { y } = call(backend, 'linear_input_major', { x, weight, bias, T, O, I })
    nearProduct(y, x, bias, { T, O, I }, (o) => column(weight, O, o))
  },
)

export const addsInOrder: BackendLaw = forAll(
  'linear_input_major: a list in any order adds its rows in that order, bit for bit',
  [T, size, size, seed],
  (backend, T, O, I, seed) => {
    const data = new Data(seed)
    const inputs = data.permutation(I).slice(0, data.integer(0, I))
    const R = inputs.length
    const [x, weight, bias] = [data.floats(T * I), data.floats(I * O), data.floats(O)]
    const movedX = Float32Array.from({ length: T * R }, (_, n) => x[Math.floor(n / R) * I + inputs[n % R]])
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
  [T, size, seed],
  (backend, T, D, seed) => {
    const x = new Data(seed).floats(T * D, 'wild')
    const weight = Float32Array.from({ length: D * D }, (_, i) => (i % (D + 1) === 0 ? 1 : 0))
    for (const name of ['linear', 'linear_input_major'] as const)
      sameNumbers(name, call(backend, name, { x, weight, T, O: D, I: D }).y, x)
  },
)

export const oneStoredTwice: BackendLaw = forAll(
  'linear, linear_input_major: one matrix stored either way, the same sums where they are exact',
  [T, size, size, seed],
  (backend, T, O, I, seed) => {
    const data = new Data(seed)
    // Small whole numbers: every product and every sum is exact in float32, in any order.
    const whole = (length: number): Float32Array => Float32Array.from({ length }, () => data.integer(-9, 9))
    const [x, weight, bias] = [whole(T * I), whole(O * I), whole(O)]
    const stored = call(backend, 'transpose', { x: weight, O, I }).y
    const { y } = call(backend, 'linear', { x, weight, bias, T, O, I })
    sameBits('y', call(backend, 'linear_input_major', { x, weight: stored, bias, T, O, I }).y, y)
  },
)
