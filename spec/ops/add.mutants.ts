/**
 * Bugs planted in the operations of src/ops/add.ts.
 */
import * as addLaws from '../../src/verify/ops/add.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'add',
    'adds the same term twice',
    [...agree('add'), addLaws.roundsOnce],
    (add) => (y, a, _, N) => add(y, a, a, N),
  ),
]
