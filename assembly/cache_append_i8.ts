/**
 * cache_append_i8: the rows of new tokens as int8 with a scale each, for chosen heads; the others are unchanged.
 */
import { bytes } from './float32'
import { quantizeRow } from './quantize_rows'
import { storedRow } from './storage'
import { rowAt, unitAt } from './units'

export function cache_append_i8(
  cache: usize, // [H, C, K]
  scales: usize, // [H, C]
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
    for (let t = 0; t < T; t++) {
      const place = h * C + P + t
      const scale = quantizeRow(storedRow<i8>(cache, place, K), rowAt(x, t * H + h, K), K)
      store<f32>(scales + bytes(place), scale)
    }
  }
}
