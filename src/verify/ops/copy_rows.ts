/**
 * copy_rows, in every storage, moves whole rows and leaves the others as they were; copy_interleaved_rows does so with int4
 * rows that lie four side by side.
 *
 * Tests src/ops/copy_rows.ts and src/ops/copy_interleaved_rows.ts.
 */
import fc from 'fast-check'
import type { KernelName } from '../../ops/catalog.ts'
import type { Numbers } from '../../ops/op.ts'
import { callRaw } from '../../testing/op_call.ts'
import { makeValues } from '../../testing/op_case.ts'
import { interleaveRows } from '../../tensor/int4.ts'
import { sameBits } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const size = fc.integer({ min: 1, max: 40 })

function movesRows(name: KernelName & `copy_rows${string}`): BackendLaw {
  return forAll(
    `${name}: copies the listed rows; of rows copied to one slot the last stays`,
    { wanted: size, O: size, I: size, listed: fc.boolean(), data: anyData },
    (backend, { wanted, O, I, listed, data }) => {
      const R = data.whole('R', 0, listed ? 2 * wanted : wanted)
      const sizes = { S: Math.max(wanted, R), O, I, R }
      const values = makeValues(name, sizes, data, 'broken', new Set(listed ? [] : ['slots']))
      const [x, rows] = [values.x as Numbers, values.rows as Int32Array]
      const [expected, slots] = [(values.y as Numbers).slice(), values.slots as Int32Array | null]
      rows.forEach((row, r) => expected.set(x.subarray(row * I, (row + 1) * I), (slots?.[r] ?? r) * I))
      sameBits('y', callRaw(backend, name, values).y, expected)
    },
  )
}

export const movesF32: BackendLaw = movesRows('copy_rows')
export const movesBf16: BackendLaw = movesRows('copy_rows_bf16')
export const movesF16: BackendLaw = movesRows('copy_rows_f16')
export const movesInt8: BackendLaw = movesRows('copy_rows_i8')
export const movesInt4: BackendLaw = movesRows('copy_rows_i4')

export const movesInterleaved: BackendLaw = forAll(
  'copy_interleaved_rows: copies the listed rows of blocks; of rows copied to one slot the last stays',
  { wanted: size, O: size, B: fc.integer({ min: 1, max: 5 }), listed: fc.boolean(), data: anyData },
  (backend, { wanted, O, B, listed, data }) => {
    const R = data.whole('R', 0, listed ? 2 * wanted : wanted)
    const S = Math.max(wanted, R)
    const [before, x] = [data.blocks('before', S * B), data.blocks('x', O * B)]
    const slots = listed ? data.ids('slots', R, wanted) : null
    const rows = data.ids('rows', R, O)
    const after = before.slice()
    const words = 5 * B
    rows.forEach((row, r) => after.set(x.subarray(row * words, (row + 1) * words), (slots?.[r] ?? r) * words))
    const [y, from] = [interleaveRows(before, S, B), interleaveRows(x, O, B)]
    const moved = callRaw(backend, 'copy_interleaved_rows', { y, x: from, slots, rows, S, O, R, B }).y
    sameBits('y', moved, interleaveRows(after, S, B))
  },
)
