/**
 * The contract of cache_append in every storage: parameters, cost, gradients and bounds.
 */
import {
  accumulator,
  chosen,
  defineStoredOp,
  input,
  size,
  sizes,
  stored,
  type StorageDescription,
  type Op,
  type Stored,
} from '../op.ts'
import { cache_append_i8 } from '../cache_append_i8.ts'
import { cache_append } from '../cache_append.ts'

/** The int8 kernel of `cache_append`. */
const cacheAppendI8: StorageDescription<Parameters<typeof cache_append_i8>> = {
  formula:
    'scales[h, P + t] = max |x[t, h]| / 127 and cache[h, P + t] = round(x[t, h] / scales[h, P + t]) for chosen heads',
  reference: cache_append_i8,
  flops: ({ T, K, R }) => 3 * T * R * K,
  bytes: ({ T, K, R }) => T * R * (5 * K + 4) + 4 * R,
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
    ...sizes('P T'),
    size('C', 'P + T'),
    ...sizes('H K R'),
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
