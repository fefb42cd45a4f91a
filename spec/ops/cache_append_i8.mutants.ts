/**
 * Bugs planted in the operations of src/ops/cache_append_i8.ts.
 */
import { cacheLaws } from '../../src/verify/ops/cache_append.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'cache_append_i8',
    'always writes at the start',
    [...agree('cache_append_i8'), cacheLaws.quantizesTokens],
    (append) => (cache, scales, x, heads, _, T, C, H, K, R) =>
      append(cache, scales, x, heads, 0, T, C, H, K, R),
  ),

  mutant(
    'cache_append_i8',
    'has one scale for all heads of a token',
    [...agree('cache_append_i8'), cacheLaws.quantizesTokens],
    (append) => (cache, scales, x, heads, P, T, C, H, K, R) => {
      append(cache, scales, x, heads, P, T, C, H, K, R)
      for (let h = 1; h < H; h++)
        for (let s = P; s < P + T; s++) scales[h * C + s] = Math.max(scales[h * C + s], scales[s])
    },
  ),

  mutant(
    'cache_append_i8',
    'keeps what is not finite as zero',
    [...agree('cache_append_i8'), cacheLaws.brokenRowsShow],
    (append) => (cache, scales, x, heads, P, T, C, H, K, R) => {
      const finite = x.map((value) => (Number.isFinite(value) ? value : 0))
      append(cache, scales, finite, heads, P, T, C, H, K, R)
    },
  ),
]
