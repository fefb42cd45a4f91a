/**
 * Bugs planted in the operations of src/ops/sum.ts.
 */
import * as sumLaws from '../../src/verify/ops/sum.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant('sum', 'forgets what the total was', [...agree('sum'), sumLaws.isSum], (sum) => (total, x, N) => {
    total[0] = 0
    sum(total, x, N)
  }),
]
