/**
 * min_max by what it promises.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameNumbers } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

export const spansZeroToOne: BackendLaw = forAll(
  'min_max: the smallest becomes 0, the largest 1, the others keep their proportions; a constant row becomes 0',
  { D: fc.integer({ min: 1, max: 200 }), data: anyData },
  (backend, { D, data }) => {
    const x = data.floats('x', D, 'smooth')
    const values = Array.from(x)
    const [least, most] = [Math.min(...values), Math.max(...values)]
    const expected = values.map((value) => (most > least ? (value - least) / (most - least) : 0))
    const { y } = call(backend, 'min_max', { x, T: 1, D })
    near('y', y, expected, epsilon32)
    for (let d = 0; d < D; d++)
      if (x[d] === least || x[d] === most) sameNumbers(`y[${d}]`, [y[d]], [expected[d]])
    sameNumbers('constant', call(backend, 'min_max', { x: x.fill(x[0]), T: 1, D }).y, new Float32Array(D))
  },
)
