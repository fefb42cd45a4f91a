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
import { interleaveRows } from '../../tensor/int4.ts'
import { sameBits } from '../compare.ts'
import type { Data, Shape } from '../../testing/seeded_data.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const size = fc.integer({ min: 1, max: 40 })

function movesRows<Name extends KernelName & `copy_rows${string}`>(
  name: Name,
  make: (data: Data, name: string, shape: Shape) => Numbers,
): BackendLaw {
  return forAll(
    `${name}: copies the listed rows; of rows copied to one slot the last stays`,
    { wanted: size, O: size, I: size, listed: fc.boolean(), data: anyData },
    (backend, { wanted, O, I, listed, data }) => {
      const R = data.whole('R', 0, listed ? 2 * wanted : wanted)
      const S = Math.max(wanted, R)
      const [y, x] = [make(data, 'y', [S, I]), make(data, 'x', [O, I])]
      const slots = listed ? data.ids('slots', R, wanted) : null
      const rows = data.ids('rows', R, O)
      const expected = y.slice()
      rows.forEach((row, r) => expected.set(x.subarray(row * I, (row + 1) * I), (slots?.[r] ?? r) * I))
      sameBits('y', callRaw(backend, name, { y, x, slots, rows, S, O, I, R }).y, expected)
    },
  )
}

export const movesF32: BackendLaw = movesRows('copy_rows', (data, name, shape) =>
  data.floats(name, shape, 'broken'),
)
export const movesBf16: BackendLaw = movesRows('copy_rows_bf16', (data, name, shape) =>
  data.halves(name, 'bf16', shape, 'wild'),
)
export const movesF16: BackendLaw = movesRows('copy_rows_f16', (data, name, shape) =>
  data.halves(name, 'f16', shape, 'wild'),
)
export const movesInt8: BackendLaw = movesRows('copy_rows_i8', (data, name, shape) => data.int8s(name, shape))
export const movesInt4: BackendLaw = movesRows('copy_rows_i4', (data, name, shape) =>
  data.int4s(name, shape, false),
)

export const movesInterleaved: BackendLaw = forAll(
  'copy_interleaved_rows: copies the listed rows of blocks; of rows copied to one slot the last stays',
  { wanted: size, O: size, B: fc.integer({ min: 1, max: 5 }), listed: fc.boolean(), data: anyData },
  (backend, { wanted, O, B, listed, data }) => {
    const R = data.whole('R', 0, listed ? 2 * wanted : wanted)
    const S = Math.max(wanted, R)
    const [before, x] = [data.int4Blocks('before', S * B), data.int4Blocks('x', O * B)]
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
