/**
 * Numbers as integer multiples of a step, as int8 ops use them (src/ops/quantized_steps.ts). Integer sums may be added in any
 * order.
 */
import { largestSize } from './elementwise'
import { bytes, wholeQuads } from './float32'

/** What 16 bits hold. */
export const MOST_LEVELS: i32 = 32767

/** So few numbers may all be as many steps away from zero. */
const FULL_LENGTH: i32 = i32.MAX_VALUE / MOST_LEVELS / 127

/** Below, a step is rounded to less than its 24 bits. */
const SMALLEST_NORMAL: f32 = 1.1754943508222875e-38

/** 1.5 * 2^23: adding it rounds a small float32 to the nearest integer, ties to even, which then stands in the low bits. */
const ROUNDER: f32 = 12582912

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
  const levels = levelsFor(x, length)
  const step = largestSize(x, length) / <f32>levels
  const steps = f32x4.splat(step)
  const most = f32x4.splat(<f32>levels)
  const end = x + bytes(length)
  if (isPlainStep(step)) {
    const eights = x + bytes(length & ~7)
    for (; x < eights; x += 32, q += 16) v128.store(q, eightSteps(x, steps))
  }
  for (; x < end; x += 4, q += 2)
    store<i16>(q, <i16>i32x4.extract_lane(nearestSteps(v128.load32_zero(x), steps, most), 0))
  return step
}

/** Whether a step is finite and has all its bits: then what is no more than `levels` of it has a quotient that is no more. */
export function isPlainStep(step: f32): bool {
  return step >= SMALLEST_NORMAL && step < Infinity
}

/** `nearestSteps` of eight numbers as int16, for steps that are plain. */
export function eightSteps(x: usize, steps: v128): v128 {
  const rounder = f32x4.splat(ROUNDER)
  const a = f32x4.add(f32x4.div(v128.load(x), steps), rounder)
  const b = f32x4.add(f32x4.div(v128.load(x, 16), steps), rounder)
  return i16x8.narrow_i32x4_s(i32x4.sub(a, rounder), i32x4.sub(b, rounder))
}

/** The most steps that a number may be away from zero. */
function levelsFor(x: usize, length: i32): i32 {
  if (length <= FULL_LENGTH) return MOST_LEVELS
  return min<i32>(MOST_LEVELS, i32.MAX_VALUE / (127 * max<i32>(countNonzero(x, length), 1)))
}

/** How many of x[i], i < length, are not zero; NaN is not. */
export function countNonzero(x: usize, length: i32): i32 {
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
