/**
 * top_k against a count: a unit is among the R best if fewer than R units are better. So a larger R keeps a superset.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { callRaw } from '../../testing/op_call.ts'
import { sameBits } from '../compare.ts'
import { type DataKind } from '../../testing/seeded_data.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const N = fc.nat({ max: 70 })
const kind = fc.constantFrom<DataKind>('plain', 'ties', 'broken')

function topK(backend: Backend, scores: Float32Array, R: number): number[] {
  return Array.from(callRaw(backend, 'top_k', { scores, N: scores.length, R }).indices)
}

/** Whether unit a ranks before unit b: a higher score, or the same and a lower index; any number before NaN. */
function isBetter(scores: Float32Array, a: number, b: number): boolean {
  const [x, y] = [scores[a], scores[b]]
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(y)
  return x === y || Number.isNaN(x) ? a < b : x > y
}

export const isCounted: BackendLaw = forAll(
  'top_k: exactly the units that fewer than R others beat, in ascending order',
  { N, kind, data: anyData },
  (backend, { N, kind, data }) => {
    const scores = data.floats('scores', N, kind)
    const R = data.whole('R', 0, N)
    const units = Array.from({ length: N }, (_, n) => n)
    const expected = units.filter((n) => units.filter((m) => m !== n && isBetter(scores, m, n)).length < R)
    sameBits('indices', topK(backend, scores, R), expected)
  },
)
