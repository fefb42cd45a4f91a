/**
 * copy_rows moves whole rows and leaves the others as they were.
 */
import fc from 'fast-check'
import { call } from '../call.ts'
import { sameBits } from '../compare.ts'
import { Data } from '../data.ts'
import { forAll, type BackendLaw } from './law.ts'

const size = fc.integer({ min: 1, max: 40 })

export const movesRows: BackendLaw = forAll(
  'copy_rows: row by row what it says, the last of those that meet in a slot',
  [size, size, size, fc.boolean(), fc.nat()],
  (backend, S, O, I, listed, seed) => {
    const data = new Data(seed)
    const R = data.integer(0, listed ? 2 * S : S)
    const [y, x] = [data.floats(Math.max(S, R) * I, 'broken'), data.floats(O * I, 'broken')]
    const slots = listed ? data.ids(R, S) : null
    const rows = data.ids(R, O)
    const expected = y.slice()
    rows.forEach((row, r) => expected.set(x.subarray(row * I, (row + 1) * I), (slots?.[r] ?? r) * I))
    sameBits('y', call(backend, 'copy_rows', { y, x, slots, rows, S: Math.max(S, R), O, I, R }).y, expected)
  },
)
