/**
 * embedding copies rows, and its gradient counts them.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { sameBits } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const T = fc.nat({ max: 9 })

export const copiesRows: BackendLaw = forAll(
  'embedding: row t is the row of its id, and only that row receives its gradient',
  { T, V: fc.integer({ min: 1, max: 12 }), D: fc.nat({ max: 40 }), data: anyData },
  (backend, { T, V, D, data }) => {
    const [table, ids] = [data.floats('table', [V, D], 'broken'), data.ids('ids', T, V)]
    const row = (t: number): Float32Array => table.subarray(ids[t] * D, (ids[t] + 1) * D)
    const { y } = call(backend, 'embedding', { table, ids, T, V, D })
    for (let t = 0; t < T; t++) sameBits(`y[${t}]`, y.subarray(t * D, (t + 1) * D), row(t))
    const counts = new Float32Array(V * D).map((_, n) => ids.filter((id) => id === Math.floor(n / D)).length)
    const given = { y_grad: new Float32Array(T * D).fill(1), ids, T, V, D }
    sameBits('table_grad', call(backend, 'embedding_backward', given).table_grad, counts)
  },
)
