/**
 * Bugs planted in the operations of src/ops/copy_rows.ts.
 */
import * as copyRowsLaws from '../../src/verify/ops/copy_rows.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  ...(
    [
      ['copy_rows', copyRowsLaws.movesF32],
      ['copy_rows_bf16', copyRowsLaws.movesBf16],
      ['copy_rows_f16', copyRowsLaws.movesF16],
      ['copy_rows_i8', copyRowsLaws.movesInt8],
    ] as const
  ).map(([name, law]) =>
    mutant(name, 'forgets the slots', [...agree(name), law], (right) => {
      const copy = right as (...args: unknown[]) => void
      return ((y: unknown, x: unknown, _: unknown, ...more: unknown[]) =>
        copy(y, x, null, ...more)) as typeof right
    }),
  ),

  mutant(
    'copy_rows_i4',
    'forgets the slots',
    [...agree('copy_rows_i4'), copyRowsLaws.movesInt4],
    (copy) =>
      (y, x, _, ...more) =>
        copy(y, x, null, ...more),
  ),
]
