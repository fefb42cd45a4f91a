/**
 * sum against float64.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const length = fc.integer({ min: 0, max: 300 })

export const isSum: BackendLaw = forAll(
  'sum: over several tensors in turn, the sum of all numbers, as in float64',
  [length, length, fc.nat()],
  (backend, first, second, seed) => {
    const data = new Data(seed)
    let total: Float32Array = Float32Array.of(data.uniform())
    let expected = total[0]
    let sizes = total[0]
    for (const N of [first, second]) {
      const x = data.floats(N)
      for (const value of x) {
        expected += value
        sizes += Math.abs(value)
      }
      total = call(backend, 'sum', { total, x, N }).total
    }
    near('total', total, [expected], 40 * epsilon32 * sizes)
  },
)
