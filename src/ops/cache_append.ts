/**
 * cache_append: the keys or values of new tokens enter the head-major cache; heads that are not chosen are left alone.
 */
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
