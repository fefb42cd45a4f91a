/**
 * The float contract in SIMD: the same additions in the same order as src/ops/float32.ts, so every result has the same
 * bits. Products are rounded before they are added (WebAssembly has no other f32x4.mul).
 *
 * The relaxed build differs in the bits of `madd` and `madd1` alone: chains of multiply-adds, in the same order, whose
 * products the hardware may leave unrounded. `FUSES` is a constant of each build (asconfig.json) and says which one it is.
 *
 * A pointer is a byte address; lengths count numbers. Nothing here allocates.
 */

import { stripes } from './scratch'
import { inUnits, one, quad0, quad1, quad2, quad3 } from './storage'

/** Bytes of a stripe: sixteen numbers, four accumulators of f32x4. */
export const STRIPE: usize = 64

/** The byte length of `count` numbers. */
export function bytes(count: i32): usize {
  return (<usize>count) << 2
}

/** The byte length of the whole stripes of `length` numbers. */
export function wholeStripes(length: i32): usize {
  return (<usize>(length & ~15)) << 2
}

/** The byte length of the whole f32x4 of `length` numbers. */
export function wholeQuads(length: i32): usize {
  return (<usize>(length & ~3)) << 2
}

/** sum + a * b of four lanes: the product rounded, or in the relaxed build as the hardware likes it. */
export function madd(sum: v128, a: v128, b: v128): v128 {
  if (FUSES) return f32x4.relaxed_madd(a, b, sum)
  return f32x4.add(sum, f32x4.mul(a, b))
}

/** `madd` of one number, with the bits it would have as a lane. */
export function madd1(sum: f32, a: f32, b: f32): f32 {
  if (FUSES)
    return f32x4.extract_lane(f32x4.relaxed_madd(f32x4.splat(a), f32x4.splat(b), f32x4.splat(sum)), 0)
  return sum + a * b
}

/** The fixed tree: four accumulators pairwise, then their four lanes as (0 + 2) + (1 + 3). */
export function combine(acc0: v128, acc1: v128, acc2: v128, acc3: v128): f32 {
  const v = f32x4.add(f32x4.add(acc0, acc1), f32x4.add(acc2, acc3))
  return (
    f32x4.extract_lane(v, 0) +
    f32x4.extract_lane(v, 2) +
    (f32x4.extract_lane(v, 1) + f32x4.extract_lane(v, 3))
  )
}

/** Stores a stripe. Engines that join vectors begin to look at stores side by side, the upper half first. */
export function storeStripe(at: usize, acc0: v128, acc1: v128, acc2: v128, acc3: v128): void {
  v128.store(at, acc1, 16)
  v128.store(at, acc0)
  v128.store(at, acc3, 48)
  v128.store(at, acc2, 32)
}

/** `combine` of a stripe. */
function combineAt(at: usize): f32 {
  return combine(v128.load(at), v128.load(at, 16), v128.load(at, 32), v128.load(at, 48))
}

/** `combine` of four dots at once: each of a, b, c, d has its four accumulators added pairwise. */
export function combineFour(a: v128, b: v128, c: v128, d: v128): v128 {
  // (0 + 2) and (1 + 3) of each, then their sum.
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 1, 4, 5), v128.shuffle<f32>(a, b, 2, 3, 6, 7))
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 1, 4, 5), v128.shuffle<f32>(c, d, 2, 3, 6, 7))
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 2, 4, 6), v128.shuffle<f32>(ab, cd, 1, 3, 5, 7))
}

/** Striped sum of x[i] * w[i], i < length, w stored as W. */
export function dot<W>(x: usize, w: usize, length: i32): f32 {
  const end = x + bytes(length)
  const whole = x + wholeStripes(length)
  let acc0 = f32x4.splat(0)
  let acc1 = f32x4.splat(0)
  let acc2 = f32x4.splat(0)
  let acc3 = f32x4.splat(0)
  while (x < whole) {
    acc0 = madd(acc0, v128.load(x), inUnits<W>(quad0<W>(w)))
    acc1 = madd(acc1, v128.load(x, 16), inUnits<W>(quad1<W>(w)))
    acc2 = madd(acc2, v128.load(x, 32), inUnits<W>(quad2<W>(w)))
    acc3 = madd(acc3, v128.load(x, 48), inUnits<W>(quad3<W>(w)))
    x += STRIPE
    w += 16 * sizeof<W>()
  }
  if (WIDE) storeStripe(stripes(), acc0, acc1, acc2, acc3)
  let total = WIDE ? combineAt(stripes()) : combine(acc0, acc1, acc2, acc3)
  while (x < end) {
    total = madd1(total, load<f32>(x), one<W>(w))
    x += 4
    w += sizeof<W>()
  }
  return total
}

/**
 * Three times `dot`, of one array with three others, side by side; each result goes to its own address. x is what is
 * multiplied by the unit of W, and must stay finite in units.
 */
export function dotThree<W>(
  to0: usize,
  to1: usize,
  to2: usize,
  x: usize,
  w0: usize,
  w1: usize,
  w2: usize,
  length: i32,
): void {
  const end = x + bytes(length)
  const whole = x + wholeStripes(length)
  let a00 = f32x4.splat(0)
  let a01 = f32x4.splat(0)
  let a02 = f32x4.splat(0)
  let a03 = f32x4.splat(0)
  let a10 = f32x4.splat(0)
  let a11 = f32x4.splat(0)
  let a12 = f32x4.splat(0)
  let a13 = f32x4.splat(0)
  let a20 = f32x4.splat(0)
  let a21 = f32x4.splat(0)
  let a22 = f32x4.splat(0)
  let a23 = f32x4.splat(0)
  while (x < whole) {
    const x0 = inUnits<W>(v128.load(x))
    a00 = madd(a00, x0, quad0<W>(w0))
    a10 = madd(a10, x0, quad0<W>(w1))
    a20 = madd(a20, x0, quad0<W>(w2))
    const x1 = inUnits<W>(v128.load(x, 16))
    a01 = madd(a01, x1, quad1<W>(w0))
    a11 = madd(a11, x1, quad1<W>(w1))
    a21 = madd(a21, x1, quad1<W>(w2))
    const x2 = inUnits<W>(v128.load(x, 32))
    a02 = madd(a02, x2, quad2<W>(w0))
    a12 = madd(a12, x2, quad2<W>(w1))
    a22 = madd(a22, x2, quad2<W>(w2))
    const x3 = inUnits<W>(v128.load(x, 48))
    a03 = madd(a03, x3, quad3<W>(w0))
    a13 = madd(a13, x3, quad3<W>(w1))
    a23 = madd(a23, x3, quad3<W>(w2))
    x += STRIPE
    w0 += 16 * sizeof<W>()
    w1 += 16 * sizeof<W>()
    w2 += 16 * sizeof<W>()
  }
  if (WIDE) {
    storeStripe(stripes(), a00, a01, a02, a03)
    storeStripe(stripes() + STRIPE, a10, a11, a12, a13)
    storeStripe(stripes() + STRIPE * 2, a20, a21, a22, a23)
  }
  let value0 = WIDE ? combineAt(stripes()) : combine(a00, a01, a02, a03)
  let value1 = WIDE ? combineAt(stripes() + STRIPE) : combine(a10, a11, a12, a13)
  let value2 = WIDE ? combineAt(stripes() + STRIPE * 2) : combine(a20, a21, a22, a23)
  while (x < end) {
    const factor = load<f32>(x)
    value0 = madd1(value0, factor, one<W>(w0))
    value1 = madd1(value1, factor, one<W>(w1))
    value2 = madd1(value2, factor, one<W>(w2))
    x += 4
    w0 += sizeof<W>()
    w1 += sizeof<W>()
    w2 += sizeof<W>()
  }
  store<f32>(to0, value0)
  store<f32>(to1, value1)
  store<f32>(to2, value2)
}

/** Striped sum of a[i], i < length. */
export function sum(a: usize, length: i32): f32 {
  const end = a + bytes(length)
  const whole = a + wholeStripes(length)
  let acc0 = f32x4.splat(0)
  let acc1 = f32x4.splat(0)
  let acc2 = f32x4.splat(0)
  let acc3 = f32x4.splat(0)
  while (a < whole) {
    acc0 = f32x4.add(acc0, v128.load(a))
    acc1 = f32x4.add(acc1, v128.load(a, 16))
    acc2 = f32x4.add(acc2, v128.load(a, 32))
    acc3 = f32x4.add(acc3, v128.load(a, 48))
    a += STRIPE
  }
  let total = combine(acc0, acc1, acc2, acc3)
  while (a < end) {
    total += load<f32>(a)
    a += 4
  }
  return total
}

function square(x: v128): v128 {
  return f32x4.mul(x, x)
}

/** Striped sum of (a[i] - center)^2, i < length. */
export function sumSquaredDeviations(a: usize, length: i32, center: f32): f32 {
  const end = a + bytes(length)
  const whole = a + wholeStripes(length)
  const centers = f32x4.splat(center)
  let acc0 = f32x4.splat(0)
  let acc1 = f32x4.splat(0)
  let acc2 = f32x4.splat(0)
  let acc3 = f32x4.splat(0)
  while (a < whole) {
    acc0 = f32x4.add(acc0, square(f32x4.sub(v128.load(a), centers)))
    acc1 = f32x4.add(acc1, square(f32x4.sub(v128.load(a, 16), centers)))
    acc2 = f32x4.add(acc2, square(f32x4.sub(v128.load(a, 32), centers)))
    acc3 = f32x4.add(acc3, square(f32x4.sub(v128.load(a, 48), centers)))
    a += STRIPE
  }
  let total = combine(acc0, acc1, acc2, acc3)
  while (a < end) {
    const deviation = load<f32>(a) - center
    total += deviation * deviation
    a += 4
  }
  return total
}

/** Striped sum of (a[i] - b[i])^2, i < length. */
export function sumSquaredDifferences(a: usize, b: usize, length: i32): f32 {
  const end = a + bytes(length)
  const whole = a + wholeStripes(length)
  let acc0 = f32x4.splat(0)
  let acc1 = f32x4.splat(0)
  let acc2 = f32x4.splat(0)
  let acc3 = f32x4.splat(0)
  while (a < whole) {
    acc0 = f32x4.add(acc0, square(f32x4.sub(v128.load(a), v128.load(b))))
    acc1 = f32x4.add(acc1, square(f32x4.sub(v128.load(a, 16), v128.load(b, 16))))
    acc2 = f32x4.add(acc2, square(f32x4.sub(v128.load(a, 32), v128.load(b, 32))))
    acc3 = f32x4.add(acc3, square(f32x4.sub(v128.load(a, 48), v128.load(b, 48))))
    a += STRIPE
    b += STRIPE
  }
  let total = combine(acc0, acc1, acc2, acc3)
  while (a < end) {
    const difference = load<f32>(a) - load<f32>(b)
    total += difference * difference
    a += 4
    b += 4
  }
  return total
}

function larger(x: f32, most: f32): f32 {
  return x > most ? x : most
}

/**
 * The largest of a[i], i < length; -Infinity for none. NaN is passed over. Among zeros of both signs either may be
 * returned: every use subtracts it inside an exponential or adds a logarithm, where the sign is lost.
 */
export function largest(a: usize, length: i32): f32 {
  const end = a + bytes(length)
  const whole = a + wholeStripes(length)
  let most0 = f32x4.splat(-Infinity)
  let most1 = most0
  let most2 = most0
  let most3 = most0
  while (a < whole) {
    most0 = f32x4.pmax(most0, v128.load(a)) // pmax(most, x) is most < x ? x : most
    most1 = f32x4.pmax(most1, v128.load(a, 16))
    most2 = f32x4.pmax(most2, v128.load(a, 32))
    most3 = f32x4.pmax(most3, v128.load(a, 48))
    a += STRIPE
  }
  const quad = f32x4.pmax(f32x4.pmax(most0, most1), f32x4.pmax(most2, most3))
  let most = larger(f32x4.extract_lane(quad, 1), f32x4.extract_lane(quad, 0))
  most = larger(f32x4.extract_lane(quad, 2), most)
  most = larger(f32x4.extract_lane(quad, 3), most)
  while (a < end) {
    most = larger(load<f32>(a), most)
    a += 4
  }
  return most
}

/** 1.5 * 2^23: adding and subtracting it rounds a small float32 to the nearest integer, ties to even. */
const ROUNDER: f32 = 12582912

const LOG2_E: f32 = 1.44269504088896341
const LN2_HIGH: f32 = 0.693359375
const LN2_LOW: f32 = -2.12194440054690583e-4

function horner(p: v128, r: v128, coefficient: f32): v128 {
  return f32x4.add(f32x4.mul(p, r), f32x4.splat(coefficient))
}

/** 2^n as float32 in each lane, -126 <= n <= 127. */
function powersOfTwo(n: v128): v128 {
  return i32x4.shl(i32x4.add(n, i32x4.splat(127)), 23)
}

/**
 * e^x of four lanes, with the steps of src/ops/float32.ts. Lanes outside [-104, 89] are computed like the others, then
 * replaced by 0 and Infinity; NaN passes through the arithmetic.
 */
export function exp4(x: v128): v128 {
  const rounder = f32x4.splat(ROUNDER)
  const n = f32x4.sub(f32x4.add(f32x4.mul(x, f32x4.splat(LOG2_E)), rounder), rounder)
  const r = f32x4.sub(f32x4.sub(x, f32x4.mul(n, f32x4.splat(LN2_HIGH))), f32x4.mul(n, f32x4.splat(LN2_LOW)))
  let p = f32x4.splat(1.98756915e-4)
  p = horner(p, r, 1.3981999507e-3)
  p = horner(p, r, 8.3334519073e-3)
  p = horner(p, r, 4.1665795894e-2)
  p = horner(p, r, 1.6666665459e-1)
  p = horner(p, r, 5.0000001201e-1)
  const e = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), f32x4.splat(1))
  const whole = i32x4.trunc_sat_f32x4_s(n)
  const half = i32x4.shr_s(whole, 1)
  const y = f32x4.mul(f32x4.mul(e, powersOfTwo(half)), powersOfTwo(i32x4.sub(whole, half)))
  const infinite = v128.bitselect(f32x4.splat(Infinity), y, f32x4.gt(x, f32x4.splat(89)))
  return v128.andnot(infinite, f32x4.lt(x, f32x4.splat(-104)))
}

/** e^x. */
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0)
}

/** y[i] = e^(x[i] - shift), i < length; y may be x. */
export function exponentials(y: usize, x: usize, shift: f32, length: i32): void {
  const end = x + bytes(length)
  const whole = x + wholeQuads(length)
  const shifts = f32x4.splat(shift)
  while (x < whole) {
    v128.store(y, exp4(f32x4.sub(v128.load(x), shifts)))
    y += 16
    x += 16
  }
  while (x < end) {
    store<f32>(y, exp1(load<f32>(x) - shift))
    y += 4
    x += 4
  }
}

const SQRT_HALF: f32 = 0.707106781186547524

/** ln x. 0 gives -Infinity, a negative number NaN. */
export function log1(x: f32): f32 {
  if (x != x || x < 0) return NaN
  if (x == 0) return -Infinity
  if (x == Infinity) return Infinity
  let exponent = 0
  if (x < 1.1754943508222875e-38) {
    x *= 8388608 // a subnormal: scaled by 2^23 into the normal range, exactly
    exponent = -23
  }
  const bits = reinterpret<i32>(x)
  exponent += (bits >> 23) - 126
  let f = reinterpret<f32>((bits & 0x007fffff) | 0x3f000000) // in [0.5, 1)
  if (f < SQRT_HALF) {
    exponent -= 1
    f = f + f - 1
  } else f -= 1
  const power = <f32>exponent
  const square = f * f
  let p: f32 = 7.0376836292e-2
  p = p * f + -1.151461031e-1
  p = p * f + 1.167699874e-1
  p = p * f + -1.2420140846e-1
  p = p * f + 1.4249322787e-1
  p = p * f + -1.6668057665e-1
  p = p * f + 2.0000714765e-1
  p = p * f + -2.4999993993e-1
  p = p * f + 3.3333331174e-1
  let y = p * f * square
  y += power * LN2_LOW
  y -= square * 0.5
  return f + y + power * LN2_HIGH
}
