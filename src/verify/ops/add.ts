/**
 * add is one rounded addition.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { sameBits } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const N = fc.nat({ max: 200 })

export const roundsOnce: BackendLaw = forAll(
  'add: the correctly rounded sum, whichever term comes first',
  { N, data: anyData },
  (backend, { N, data }) => {
    const [a, b] = [data.floats('a', N, 'broken'), data.floats('b', N, 'broken')]
    const { y } = call(backend, 'add', { a, b, N })
    // The float64 sum of two float32 numbers rounds to their float32 sum.
    const expected = a.map((value, n) => value + b[n])
    sameBits('y', y, expected)
    sameBits('y', call(backend, 'add', { a: b, b: a, N }).y, y)
  },
)
