/**
 * cache_append: the keys or values of new tokens enter the head-major cache; heads that are not chosen are left alone.
 */
import { cacheAppendI8, type cache_append_i8 } from './cache_append_i8.ts'
import { accumulator, chosen, defineStoredOp, input, size, stored, type Op, type Stored } from './op.ts'

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

/** Op definition. */
export const cacheAppendOp: Op<
  [cache: Stored, x: Float32Array, heads: Int32Array | null, P: number],
  { f32: typeof cache_append; i8: typeof cache_append_i8 }
> = defineStoredOp(
  'cache_append',
  [
    stored(accumulator('cache', 'H C K'), accumulator('scales', 'H C')),
    input('x', 'T H*K'),
    chosen('heads', 'R', 'H'),
    size('P'),
    size('T'),
    size('C', 'P + T'),
    size('H'),
    size('K'),
    size('R'),
  ],
  {
    f32: {
      formula: 'cache[h, P + t] = x[t, h] for chosen heads',
      reference: cache_append,
      flops: () => 0,
      bytes: ({ T, K, R }) => 8 * T * R * K + 4 * R,
    },
    i8: cacheAppendI8,
  },
)
