/**
 * What the int8 ops make of numbers: whole steps of one size (src/ops/quantized_steps.ts). Nothing here has an order, and
 * sums of whole numbers have none either.
 */
import { largestSize } from './elementwise'
import { bytes, wholeQuads } from './float32'

/** What 16 bits hold. */
const MOST_LEVELS: i32 = 32767

/** The whole numbers of steps nearest to four numbers, ties to even, at most `most` either way; NaN becomes 0. */
export function nearestSteps(x: v128, step: v128, most: v128): v128 {
  const nearest = f32x4.nearest(f32x4.div(x, step))
  // pmin and pmax keep a NaN that comes first.
  return i32x4.trunc_sat_f32x4_s(f32x4.pmax(f32x4.pmin(nearest, most), f32x4.neg(most)))
}

/** Rounds x to int16 steps, few enough that sums of products with int8 stay in 32 bits; returns the step. */
export function quantizeSteps(
  q: usize, // [length] i16
  x: usize, // [length]
  length: i32,
): f32 {
  const levels = min<i32>(MOST_LEVELS, i32.MAX_VALUE / (127 * max<i32>(countOthersThanZero(x, length), 1)))
  const step = largestSize(x, length) / <f32>levels
  const steps = f32x4.splat(step)
  const most = f32x4.splat(<f32>levels)
  const end = x + bytes(length)
  const whole = x + wholeQuads(length)
  for (; x < whole; x += 16, q += 8) {
    const four = nearestSteps(v128.load(x), steps, most)
    v128.store64_lane(q, i16x8.narrow_i32x4_s(four, four), 0)
  }
  for (; x < end; x += 4, q += 2)
    store<i16>(q, <i16>i32x4.extract_lane(nearestSteps(v128.load32_zero(x), steps, most), 0))
  return step
}

/** NaN is another than zero. */
function countOthersThanZero(x: usize, length: i32): i32 {
  const end = x + bytes(length)
  const whole = x + wholeQuads(length)
  let counts = i32x4.splat(0)
  for (; x < whole; x += 16) counts = i32x4.sub(counts, f32x4.ne(v128.load(x), f32x4.splat(0)))
  let count = sumOfLanes(counts)
  for (; x < end; x += 4) count += i32(load<f32>(x) != 0)
  return count
}

function sumOfLanes(x: v128): i32 {
  return (
    i32x4.extract_lane(x, 0) + i32x4.extract_lane(x, 1) + i32x4.extract_lane(x, 2) + i32x4.extract_lane(x, 3)
  )
}
