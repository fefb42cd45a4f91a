/**
 * Arithmetic on arrays, element by element; elements may be computed in any order.
 */
import { bytes, madd, madd1, storeStripe, STRIPE, wholeQuads, wholeStripes } from './float32'
import { fitsUnits, inUnits, one, quad0, quad1, quad2, quad3, unit } from './storage'
import { rowAt } from './units'

/** y[i] += factor * x[i], i < length, x stored as W: one term of a sequential sum. */
export function addScaled<W>(y: usize, x: usize, factor: f32, length: i32): void {
  const end = y + bytes(length)
  const whole = fitsUnits<W>(factor) ? y + wholeStripes(length) : y
  const factors = f32x4.splat(factor * unit<W>())
  const isApart = !WIDE && isFloat<W>()
  while (y < whole) {
    // For float32 one store after the other is faster, but no place for an engine that joins vectors to begin at.
    const sum0 = madd(v128.load(y), factors, quad0<W>(x))
    if (isApart) v128.store(y, sum0)
    const sum1 = madd(v128.load(y, 16), factors, quad1<W>(x))
    if (isApart) v128.store(y, sum1, 16)
    const sum2 = madd(v128.load(y, 32), factors, quad2<W>(x))
    if (isApart) v128.store(y, sum2, 32)
    const sum3 = madd(v128.load(y, 48), factors, quad3<W>(x))
    if (isApart) v128.store(y, sum3, 48)
    else storeStripe(y, sum0, sum1, sum2, sum3)
    y += STRIPE
    x += 16 * sizeof<W>()
  }
  while (y < end) {
    store<f32>(y, madd1(load<f32>(y), factor, one<W>(x)))
    y += 4
    x += sizeof<W>()
  }
}

/** y[i] = x[i], i < length, x stored as W. */
export function widenArray<W>(y: usize, x: usize, length: i32): void {
  const end = y + bytes(length)
  const whole = y + bytes(length & ~7)
  while (y < whole) {
    v128.store(y, inUnits<W>(quad0<W>(x)))
    v128.store(y, inUnits<W>(quad1<W>(x)), 16)
    y += 32
    x += 8 * sizeof<W>()
  }
  while (y < end) {
    store<f32>(y, one<W>(x))
    y += 4
    x += sizeof<W>()
  }
}

/** Whether all numbers of x [T, width] stay finite in units of W. */
export function allFitUnits<W>(x: usize, T: i32, width: i32): bool {
  if (unit<W>() == 1) return true
  for (let t = 0; t < T; t++)
    if (!(largestSize(rowAt(x, t, width), width) * unit<W>() < Infinity)) return false
  return true
}

/** The largest |x[i]|, i < length; +0 for none, NaN if one is NaN. */
export function largestSize(x: usize, length: i32): f32 {
  const end = x + bytes(length)
  const whole = x + wholeQuads(length)
  let most = i32x4.splat(0)
  for (; x < whole; x += 16) most = largerSizes(most, v128.load(x))
  for (; x < end; x += 4) most = largerSizes(most, v128.load32_zero(x))
  return f32x4.extract_lane(largestLane(most), 0)
}

/** The larger of `most` and |x|: numbers without a sign are in the order of their bits, NaN behind all others. */
export function largerSizes(most: v128, x: v128): v128 {
  return i32x4.max_s(most, v128.and(x, i32x4.splat(i32.MAX_VALUE)))
}

/** The largest of four sizes, four times. */
export function largestLane(x: v128): v128 {
  const two = i32x4.max_s(x, v128.shuffle<i32>(x, x, 2, 3, 0, 1))
  return i32x4.max_s(two, v128.shuffle<i32>(two, two, 1, 0, 3, 2))
}

/** y[i] = a[i] + b[i], i < length; y may be a. */
export function addArrays(y: usize, a: usize, b: usize, length: i32): void {
  const end = a + bytes(length)
  const whole = a + wholeQuads(length)
  while (a < whole) {
    v128.store(y, f32x4.add(v128.load(a), v128.load(b)))
    y += 16
    a += 16
    b += 16
  }
  while (a < end) {
    store<f32>(y, load<f32>(a) + load<f32>(b))
    y += 4
    a += 4
    b += 4
  }
}

/** y[i] = x[i] * factor, i < length; y may be x. */
export function scaleArray(y: usize, x: usize, factor: f32, length: i32): void {
  const end = x + bytes(length)
  const whole = x + wholeQuads(length)
  const factors = f32x4.splat(factor)
  while (x < whole) {
    v128.store(y, f32x4.mul(v128.load(x), factors))
    y += 16
    x += 16
  }
  while (x < end) {
    store<f32>(y, load<f32>(x) * factor)
    y += 4
    x += 4
  }
}

/** y[i] /= divisor, i < length. */
export function divideArray(y: usize, divisor: f32, length: i32): void {
  const end = y + bytes(length)
  const whole = y + wholeQuads(length)
  const divisors = f32x4.splat(divisor)
  while (y < whole) {
    v128.store(y, f32x4.div(v128.load(y), divisors))
    y += 16
  }
  while (y < end) {
    store<f32>(y, load<f32>(y) / divisor)
    y += 4
  }
}
