/**
 * The float contract: how this project adds, and its own `exp`, `tanh` and `log`.
 *
 * Arithmetic is IEEE float32, row-major, each operation rounded on its own: a product is rounded before it is added
 * (no fused multiply-add). Two orders of addition exist.
 *
 * - striped: element j goes to lane j mod 16, each lane adds in index order, the sixteen lanes are combined by a fixed
 *   tree, then the elements past the last whole stripe are added in order. It is what four SIMD accumulators do.
 * - sequential: one accumulator, terms in index order. A skipped term is an added zero, so masked equals zeroed.
 *
 * JavaScript's Math.exp, Math.tanh and Math.log differ between engines; these polynomials do not.
 */

/** Lanes of a striped reduction: four accumulators of f32x4. */
const LANES = 16

const { fround } = Math

/** Reused by every striped reduction; a reduction never calls another one. */
const lanes = new Float32Array(LANES)

/** The fixed tree: four accumulators pairwise, then their four lanes as (0 + 2) + (1 + 3). */
function combineLanes(): number {
  const quad = (j: number): number =>
    fround(fround(lanes[j] + lanes[j + 4]) + fround(lanes[j + 8] + lanes[j + 12]))
  return fround(fround(quad(0) + quad(2)) + fround(quad(1) + quad(3)))
}

/** Striped sum of a[i] * b[i], i < length. */
export function dot(
  a: Float32Array,
  aStart: number,
  b: Float32Array,
  bStart: number,
  length: number,
): number {
  const whole = length - (length % LANES)
  lanes.fill(0)
  for (let i = 0; i < whole; i += LANES)
    for (let j = 0; j < LANES; j++) lanes[j] += fround(a[aStart + i + j] * b[bStart + i + j])
  let total = combineLanes()
  for (let i = whole; i < length; i++) total = fround(total + fround(a[aStart + i] * b[bStart + i]))
  return total
}

/** Striped sum of a[i], i < length. */
export function sum(a: Float32Array, start: number, length: number): number {
  const whole = length - (length % LANES)
  lanes.fill(0)
  for (let i = 0; i < whole; i += LANES) for (let j = 0; j < LANES; j++) lanes[j] += a[start + i + j]
  let total = combineLanes()
  for (let i = whole; i < length; i++) total = fround(total + a[start + i])
  return total
}

/** Striped sum of (a[i] - center)^2, i < length. */
export function sumSquaredDeviations(a: Float32Array, start: number, length: number, center: number): number {
  const whole = length - (length % LANES)
  const square = (i: number): number => {
    const deviation = fround(a[start + i] - center)
    return fround(deviation * deviation)
  }
  lanes.fill(0)
  for (let i = 0; i < whole; i += LANES) for (let j = 0; j < LANES; j++) lanes[j] += square(i + j)
  let total = combineLanes()
  for (let i = whole; i < length; i++) total = fround(total + square(i))
  return total
}

/** The largest of a[i], i < length; -Infinity for none. NaN is passed over. */
export function largest(a: Float32Array, start: number, length: number): number {
  let most = -Infinity
  for (let i = 0; i < length; i++) if (a[start + i] > most) most = a[start + i]
  return most
}

const bits = new Int32Array(1)
const float = new Float32Array(bits.buffer)

/** 2^n as float32, -126 <= n <= 127. */
function powerOfTwo(n: number): number {
  bits[0] = (n + 127) << 23
  return float[0]
}

/** 1.5 * 2^23: adding and subtracting it rounds a small float32 to the nearest integer, ties to even. */
const ROUNDER = 12582912

const LOG2_E = fround(1.44269504088896341)
const LN2_HIGH = fround(0.693359375)
const LN2_LOW = fround(-2.12194440054690583e-4)

/** Coefficients of exp(r) = 1 + r + r^2 P(r) on [-ln2/2, ln2/2], highest power first (Cephes expf). */
const EXP_POLYNOMIAL = [
  1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
].map(fround)

/**
 * e^x in float32, within 2 units in the last place. Below -104 it is 0, above 89 Infinity, NaN stays NaN.
 *
 * x = n ln2 + r; the power of two is applied in two halves so that subnormal results round once, in the last product.
 */
export function exp(x: number): number {
  if (x < -104) return 0
  if (x > 89) return Infinity
  if (x !== x) return NaN
  const n = fround(fround(fround(x * LOG2_E) + ROUNDER) - ROUNDER)
  const r = fround(fround(x - fround(n * LN2_HIGH)) - fround(n * LN2_LOW))
  let p = EXP_POLYNOMIAL[0]
  for (let i = 1; i < EXP_POLYNOMIAL.length; i++) p = fround(fround(p * r) + EXP_POLYNOMIAL[i])
  const e = fround(fround(fround(p * fround(r * r)) + r) + 1)
  const half = n >> 1
  return fround(fround(e * powerOfTwo(half)) * powerOfTwo(n - half))
}

/** Coefficients of tanh(x) = x + x s P(s), s = x^2, for |x| below 0.625, highest power first (Cephes tanhf). */
const TANH_POLYNOMIAL = [
  -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1,
].map(fround)

/** tanh(x) in float32, within 3 units in the last place. NaN stays NaN. */
export function tanh(x: number): number {
  const size = Math.abs(x)
  if (size < 0.625) {
    const s = fround(x * x)
    let p = TANH_POLYNOMIAL[0]
    for (let i = 1; i < TANH_POLYNOMIAL.length; i++) p = fround(fround(p * s) + TANH_POLYNOMIAL[i])
    return fround(fround(fround(p * s) * x) + x)
  }
  const e = exp(-2 * size)
  const y = fround(fround(1 - e) / fround(1 + e))
  return x < 0 ? -y : y
}

/** Coefficients of log(1 + f) = f - f^2/2 + f^3 P(f), highest power first (Cephes logf). */
const LOG_POLYNOMIAL = [
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
].map(fround)

const SQRT_HALF = fround(0.707106781186547524)

/** ln x in float32, within 2 units in the last place. 0 gives -Infinity, a negative number NaN. */
export function log(x: number): number {
  if (x !== x || x < 0) return NaN
  if (x === 0) return -Infinity
  if (x === Infinity) return Infinity
  let exponent = 0
  if (x < 1.1754943508222875e-38) {
    x = fround(x * 8388608) // a subnormal: scaled by 2^23 into the normal range, exactly
    exponent = -23
  }
  float[0] = x
  exponent += (bits[0] >> 23) - 126
  bits[0] = (bits[0] & 0x007fffff) | 0x3f000000
  let f = float[0] // in [0.5, 1)
  if (f < SQRT_HALF) {
    exponent -= 1
    f = fround(fround(f + f) - 1)
  } else f = fround(f - 1)
  const square = fround(f * f)
  let p = LOG_POLYNOMIAL[0]
  for (let i = 1; i < LOG_POLYNOMIAL.length; i++) p = fround(fround(p * f) + LOG_POLYNOMIAL[i])
  let y = fround(fround(p * f) * square)
  y = fround(y + fround(exponent * LN2_LOW))
  y = fround(y - fround(square * 0.5))
  return fround(fround(f + y) + fround(exponent * LN2_HIGH))
}
