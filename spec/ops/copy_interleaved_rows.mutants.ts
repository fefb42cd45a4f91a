/**
 * Bugs planted in the operations of src/ops/copy_interleaved_rows.ts.
 */
import { QUAD_BYTES } from '../../src/tensor/int4.ts'
import * as copyRowsLaws from '../../src/verify/ops/copy_rows.ts'
import type { Definition } from '../harness/mutate.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** copy_interleaved_rows with something done to what it wrote, for each slot and block. */
function spoiledCopy(
  spoil: (y: Uint8Array, before: Uint8Array, at: number, lane: number) => void,
): (copy: Definition<'copy_interleaved_rows'>) => Definition<'copy_interleaved_rows'> {
  return (copy) => (y, x, slots, rows, S, O, R, G, Q, B) => {
    const before = y.slice()
    copy(y, x, slots, rows, S, O, R, G, Q, B)
    for (let r = 0; r < R; r++) {
      const slot = slots ? slots[r] : r
      for (let b = 0; b < B; b++) spoil(y, before, ((slot >> 2) * B + b) * QUAD_BYTES, slot & 3)
    }
  }
}

const spoils: readonly (readonly [bug: string, Parameters<typeof spoiledCopy>[0]])[] = [
  [
    'leaves the minima',
    (y, before, at, lane) => y.set(before.subarray(at + 8 + 2 * lane, at + 10 + 2 * lane), at + 8 + 2 * lane),
  ],
  [
    'leaves the last four bytes of a row',
    (y, before, at, lane) =>
      y.set(before.subarray(at + 64 + 4 * lane, at + 68 + 4 * lane), at + 64 + 4 * lane),
  ],
  [
    'writes the row beside it too',
    (y, _, at, lane) => y.copyWithin(at + 16 + 4 * (lane ^ 1), at + 16 + 4 * lane, at + 20 + 4 * lane),
  ],
]

/** The mutants of this file. */
export const mutants: readonly Mutant[] = spoils.map(([bug, spoil]) =>
  mutant(
    'copy_interleaved_rows',
    bug,
    [...agree('copy_interleaved_rows'), copyRowsLaws.movesInterleaved],
    spoiledCopy(spoil),
  ),
)
