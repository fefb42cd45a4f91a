/**
 * sum and sum_squares against float64.
 *
 * Tests src/ops/sum.ts and src/ops/sum_squares.ts.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const length = fc.integer({ min: 0, max: 300 })

/** A sum over two tensors in turn of a term of each number. */
function addsUp(op: 'sum' | 'sum_squares', numbers: string, term: (x: number) => number): BackendLaw {
  return forAll(
    `${op}: over several tensors in turn, the sum of all ${numbers}, as in float64`,
    { first: length, second: length, data: anyData },
    (backend, { first, second, data }) => {
      let total: Float32Array = data.numbers('total', 1, (stream) => stream.uniform(), 0)
      let expected = total[0]
      let sizes = total[0]
      for (const N of [first, second]) {
        const x = data.floats('x', N)
        for (const value of x) {
          expected += term(value)
          sizes += Math.abs(term(value))
        }
        total = call(backend, op, { total, x, N }).total
      }
      near('total', total, [expected], 40 * epsilon32 * sizes)
    },
  )
}

export const isSum: BackendLaw = addsUp('sum', 'numbers', (x) => x)
export const isSumOfSquares: BackendLaw = addsUp('sum_squares', 'squares', (x) => x ** 2)
