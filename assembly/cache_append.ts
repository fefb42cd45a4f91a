/**
 * cache_append: cache[h, P + t] = x[t, h] for chosen heads; the others are unchanged.
 */
import { bytes } from './float32'
import { rowAt, unitAt } from './units'

export function cache_append(
  cache: usize, // [H, C, K]
  x: usize, // [T, H, K]
  heads: usize, // [R] or null
  P: i32,
  T: i32,
  C: i32,
  H: i32,
  K: i32,
  R: i32,
): void {
  const count = heads ? R : H
  for (let r = 0; r < count; r++) {
    const h = unitAt(heads, r)
    for (let t = 0; t < T; t++) memory.copy(rowAt(cache, h * C + P + t, K), rowAt(x, t * H + h, K), bytes(K))
  }
}
