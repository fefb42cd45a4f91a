/**
 * mask_units: y[t, u, k] = x[t, u, k] * mask[u].
 */
import { scaleArray } from './elementwise'
import { bytes, wholeQuads } from './float32'
import { rowAt } from './units'

export function mask_units(
  y: usize, // [T, U, K], may be x
  x: usize, // [T, U, K]
  mask: usize, // [U]
  T: i32,
  U: i32,
  K: i32,
): void {
  for (let t = 0; t < T; t++) {
    const at = rowAt(0, t, U) * <usize>K
    if (K == 1) multiply(y + at, x + at, mask, U)
    else
      for (let u = 0; u < U; u++)
        scaleArray(y + at + rowAt(0, u, K), x + at + rowAt(0, u, K), load<f32>(mask + bytes(u)), K)
  }
}

/** y[i] = a[i] * b[i], i < length. */
function multiply(y: usize, a: usize, b: usize, length: i32): void {
  const end = bytes(length)
  const whole = wholeQuads(length)
  let i: usize = 0
  for (; i < whole; i += 16) v128.store(y + i, f32x4.mul(v128.load(a + i), v128.load(b + i)))
  for (; i < end; i += 4) store<f32>(y + i, load<f32>(a + i) * load<f32>(b + i))
}
