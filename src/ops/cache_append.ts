/**
 * cache_append: the keys or values of new tokens enter the head-major cache; heads that are not chosen are left alone.
 */
import { accumulator, chosen, defineOp, input, size, type Op } from './op.ts'

/** Writes the keys or values of T new tokens into the cache from position P on, for chosen heads. */
export function cache_append(
  cache: Float32Array, // [H, C, K]
  x: Float32Array, // [T, H, K]
  heads: Int32Array | null, // [R], ascending, below H
  P: number,
  T: number,
  C: number,
  H: number,
  K: number,
  R: number,
): void {
  const count = heads ? R : H
  for (let r = 0; r < count; r++) {
    const h = heads ? heads[r] : r
    for (let t = 0; t < T; t++)
      for (let k = 0; k < K; k++) cache[(h * C + P + t) * K + k] = x[(t * H + h) * K + k]
  }
}

/** Catalogue row. */
export const cacheAppendOp: Op<Parameters<typeof cache_append>> = defineOp({
  name: 'cache_append',
  formula: 'cache[h, P + t] = x[t, h] for chosen heads',
  params: [
    accumulator('cache', 'H C K'),
    input('x', 'T H K'),
    chosen('heads', 'R', 'H'),
    size('P'),
    size('T'),
    size('C', 'P + T'),
    size('H'),
    size('K'),
    size('R'),
  ],
  reference: cache_append,
  flops: () => 0,
  bytes: ({ T, K, R }) => 8 * T * R * K,
})
