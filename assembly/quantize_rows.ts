/**
 * quantize_rows: each row as int8 steps of its largest |x| / 127, as src/tensor/dtypes.ts does it.
 */
import { largestSize } from './elementwise'
import { bytes, wholeQuads } from './float32'
import { nearestSteps } from './quantized_steps'
import { storedRow } from './storage'
import { rowAt } from './units'

/** The largest float32 that times 127 is still finite. */
const LARGEST_SCALE: f32 = 2.6793883890187504e36

export function quantize_rows(
  y: usize, // [O, I] i8
  scales: usize, // [O]
  x: usize, // [O, I]
  O: i32,
  I: i32,
): void {
  for (let o = 0; o < O; o++) {
    const scale = quantizeRow(storedRow<i8>(y, o, I), rowAt(x, o, I), I)
    store<f32>(scales + bytes(o), scale)
  }
}

/** Writes a row as int8 and returns its scale. */
export function quantizeRow(y: usize, x: usize, length: i32): f32 {
  const largest = largestSize(x, length)
  const scale = largest < Infinity ? min<f32>(largest / 127, LARGEST_SCALE) : NaN
  if (!(scale > 0)) {
    memory.fill(y, 0, <usize>length)
    return scale
  }
  const end = x + bytes(length)
  const whole = x + wholeQuads(length)
  const scales = f32x4.splat(scale)
  const most = f32x4.splat(127)
  for (; x < whole; x += 16, y += 4) {
    const four = nearestSteps(v128.load(x), scales, most)
    const eight = i16x8.narrow_i32x4_s(four, four)
    v128.store32_lane(y, i8x16.narrow_i16x8_s(eight, eight), 0)
  }
  for (; x < end; x += 4, y++)
    store<i8>(y, <i8>i32x4.extract_lane(nearestSteps(v128.load32_zero(x), scales, most), 0))
  return scale
}
