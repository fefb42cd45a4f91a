/**
 * Bugs planted in the operations of src/ops/cache_append.ts.
 */
import { cacheLaws } from '../../src/verify/ops/cache_append.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'cache_append',
    'always writes at the start',
    [...agree('cache_append'), cacheLaws.movesTokens],
    (append) => (cache, x, heads, _, T, C, H, K, R) => append(cache, x, heads, 0, T, C, H, K, R),
  ),
]
