/**
 * Bugs planted in the operations of src/ops/transpose.ts.
 */
import * as transposeLaws from '../../src/verify/ops/transpose.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'transpose',
    'copies',
    [...agree('transpose'), transposeLaws.movesElements],
    () => (y, x) => y.set(x),
  ),

  mutant(
    'transpose_bf16',
    'turns rows of the other length',
    [...agree('transpose_bf16'), transposeLaws.movesElements],
    (transpose) => (y, x, O, I) => transpose(y, x, I, O),
  ),

  mutant(
    'transpose_f16',
    'leaves out the last row',
    [...agree('transpose_f16'), transposeLaws.movesElements],
    (transpose) => (y, x, O, I) => {
      const whole = y.slice()
      transpose(whole, x, O, I)
      y.set(whole.map((value, n) => (n % O === O - 1 ? 0 : value)))
    },
  ),
]
