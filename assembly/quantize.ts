/**
 * Rows of numbers as small integers times a step, with the bits of src/ops/quantize.ts.
 */
import { bytes, wholeQuads } from './float32'

const MOST_INT8: f32 = 127
const MOST_INT16: i32 = 32767
const MOST_INT32: i64 = 2147483647

/** The largest float32 that times 127 is still finite. */
const LARGEST_SCALE: f32 = 2.6793883890187504e36

const SIZE_BITS: i32 = 0x7fffffff
const INFINITY_BITS: u32 = 0x7f800000

/** The largest size in a row; NaN if any number is not finite. Sizes are in the order of their bit patterns. */
function largestSize(x: usize, length: i32): f32 {
  const end = x + bytes(length)
  const whole = x + wholeQuads(length)
  const size = i32x4.splat(SIZE_BITS)
  let quad = i32x4.splat(0)
  for (; x < whole; x += 16) quad = i32x4.max_u(quad, v128.and(v128.load(x), size))
  let most = max<u32>(
    max<u32>(i32x4.extract_lane(quad, 0), i32x4.extract_lane(quad, 1)),
    max<u32>(i32x4.extract_lane(quad, 2), i32x4.extract_lane(quad, 3)),
  )
  for (; x < end; x += 4) most = max<u32>(most, load<u32>(x) & SIZE_BITS)
  return most < INFINITY_BITS ? reinterpret<f32>(most) : NaN
}

/** How many numbers of a row are not zero. */
function countNonZero(x: usize, length: i32): i32 {
  const end = x + bytes(length)
  const whole = x + wholeQuads(length)
  const zero = f32x4.splat(0)
  let counts = i32x4.splat(0)
  for (; x < whole; x += 16) counts = i32x4.sub(counts, f32x4.ne(v128.load(x), zero))
  let count =
    i32x4.extract_lane(counts, 0) +
    i32x4.extract_lane(counts, 1) +
    i32x4.extract_lane(counts, 2) +
    i32x4.extract_lane(counts, 3)
  for (; x < end; x += 4) if (load<f32>(x) != 0) count++
  return count
}

/** Writes a row as int8 and returns its scale: the largest size / 127. */
export function quantizeInt8(q: usize, x: usize, length: i32): f32 {
  const scale = min<f32>(largestSize(x, length) / MOST_INT8, LARGEST_SCALE)
  if (!(scale > 0)) {
    memory.fill(q, 0, length)
    return scale
  }
  const scales = f32x4.splat(scale)
  const end = x + bytes(length)
  const whole = x + wholeQuads(length)
  for (; x < whole; x += 16) {
    const integers = toIntegers(v128.load(x), scales)
    const halves = i16x8.narrow_i32x4_s(integers, integers)
    v128.store32_lane(q, i8x16.max_s(i8x16.narrow_i16x8_s(halves, halves), i8x16.splat(-127)), 0)
    q += 4
  }
  for (; x < end; x += 4) store<i8>(q++, toInteger(load<f32>(x), scale, 127))
  return scale
}

/**
 * Writes a row as int16, which may take the place of the row's first half, and returns its step: the largest size /
 * levels, as many as let a sum of products with int8 numbers stay an int32.
 */
export function quantizeInt16(q: usize, x: usize, length: i32): f32 {
  const count = countNonZero(x, length)
  const levels = count ? <i32>min<i64>(MOST_INT16, MOST_INT32 / (127 * <i64>count)) : MOST_INT16
  const step = largestSize(x, length) / <f32>levels
  if (!(step > 0)) {
    memory.fill(q, 0, (<usize>length) << 1)
    return step
  }
  const steps = f32x4.splat(step)
  const most = i16x8.splat(<i16>levels)
  const least = i16x8.splat(<i16>-levels)
  const end = x + bytes(length)
  const whole = x + wholeQuads(length)
  for (; x < whole; x += 16) {
    const integers = toIntegers(v128.load(x), steps)
    const halves = i16x8.narrow_i32x4_s(integers, integers)
    v128.store64_lane(q, i16x8.max_s(i16x8.min_s(halves, most), least), 0)
    q += 8
  }
  for (; x < end; x += 4) {
    store<i16>(q, <i16>toInteger(load<f32>(x), step, levels))
    q += 2
  }
  return step
}

/** The nearest integers, ties to even. */
function toIntegers(x: v128, steps: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(x, steps)))
}

function toInteger(x: f32, step: f32, most: i32): i32 {
  return max<i32>(-most, min<i32>(most, <i32>nearest<f32>(x / step)))
}
