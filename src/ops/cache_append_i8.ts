/**
 * cache_append_i8: the keys or values of new tokens enter a head-major cache of int8, each head's row with a scale of its
 * own; heads that are not chosen, and positions of other tokens, are left alone.
 */
import { quantizeRow } from '../tensor/dtypes.ts'

/** Writes the keys or values of T new tokens into the cache from position P on, for chosen heads. */
export function cache_append_i8(
  cache: Int8Array, // [H, C, K]
  scales: Float32Array, // [H, C]
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
    for (let t = 0; t < T; t++) {
      const place = h * C + P + t
      const row = (t * H + h) * K
      scales[place] = quantizeRow(cache.subarray(place * K, (place + 1) * K), x.subarray(row, row + K))
    }
  }
}
