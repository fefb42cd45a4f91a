/**
 * Bugs planted in the operations of src/ops/sum_squares.ts.
 */
import * as sumLaws from '../../src/verify/ops/sum.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'sum_squares',
    'forgets what the total was',
    [...agree('sum_squares'), sumLaws.isSumOfSquares],
    (sum_squares) => (total, x, N) => {
      total[0] = 0
      sum_squares(total, x, N)
    },
  ),
]
