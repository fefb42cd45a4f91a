/**
 * Exponentials of a row, each shifted by the row's largest number: the common part of softmax, log-sum-exp and attention.
 *
 * No number is above the largest, so e^x is needed for x <= 0 and NaN only, which takes half the steps of `exp4`
 * (float32.ts) to the same bits: a number below -104, whose power is 0, is raised to it, and the power of two is one
 * product with what is near enough to 1, then one with 2^-32, which alone may round.
 *
 * The constants are read from memory. Engines materialise a constant vector at each use, and a loop with fourteen
 * spends more time on them than on its arithmetic (bench/README.md).
 */
import { divideArray } from './elementwise'
import { bytes, combine, largest, STRIPE, sum, wholeQuads, wholeStripes } from './float32'
import { exponentialConstants } from './scratch'

/** y = softmax(x) of one row; y may be x. */
export function softmaxRow(y: usize, x: usize, length: i32): void {
  exponentials(y, x, largest(x, length), length)
  divideArray(y, sum(y, length), length)
}

/** y[i] = e^(x[i] - most), where no x[i] is above `most`; y may be x. */
export function exponentials(y: usize, x: usize, most: f32, length: i32): void {
  const constants = writeConstants()
  const end = x + bytes(length)
  const stripes = x + wholeStripes(length)
  const whole = x + wholeQuads(length)
  const shifts = f32x4.splat(most)
  while (x < stripes) {
    powerOfStripe(y, x, shifts, constants)
    y += STRIPE
    x += STRIPE
  }
  while (x < whole) {
    v128.store(y, power(f32x4.sub(v128.load(x), shifts), constants))
    y += 16
    x += 16
  }
  while (x < end) {
    store<f32>(y, power1(load<f32>(x) - most, constants))
    y += 4
    x += 4
  }
}

/**
 * `power` of sixteen numbers less `shifts`. The four chains of operations go step by step: each waits for its own last
 * result, and a processor does not look far enough ahead to find the next one by itself.
 */
function powerOfStripe(y: usize, x: usize, shifts: v128, c: usize): void {
  let k = v128.load(c)
  const v0 = f32x4.pmax(f32x4.sub(v128.load(x), shifts), k)
  const v1 = f32x4.pmax(f32x4.sub(v128.load(x, 16), shifts), k)
  const v2 = f32x4.pmax(f32x4.sub(v128.load(x, 32), shifts), k)
  const v3 = f32x4.pmax(f32x4.sub(v128.load(x, 48), shifts), k)
  k = v128.load(c, 16)
  let n0 = f32x4.mul(v0, k)
  let n1 = f32x4.mul(v1, k)
  let n2 = f32x4.mul(v2, k)
  let n3 = f32x4.mul(v3, k)
  k = v128.load(c, 32)
  const rounded0 = f32x4.add(n0, k)
  const rounded1 = f32x4.add(n1, k)
  const rounded2 = f32x4.add(n2, k)
  const rounded3 = f32x4.add(n3, k)
  n0 = f32x4.sub(rounded0, k)
  n1 = f32x4.sub(rounded1, k)
  n2 = f32x4.sub(rounded2, k)
  n3 = f32x4.sub(rounded3, k)
  k = v128.load(c, 48)
  let r0 = f32x4.sub(v0, f32x4.mul(n0, k))
  let r1 = f32x4.sub(v1, f32x4.mul(n1, k))
  let r2 = f32x4.sub(v2, f32x4.mul(n2, k))
  let r3 = f32x4.sub(v3, f32x4.mul(n3, k))
  k = v128.load(c, 64)
  r0 = f32x4.sub(r0, f32x4.mul(n0, k))
  r1 = f32x4.sub(r1, f32x4.mul(n1, k))
  r2 = f32x4.sub(r2, f32x4.mul(n2, k))
  r3 = f32x4.sub(r3, f32x4.mul(n3, k))
  k = v128.load(c, 80)
  let p0 = f32x4.mul(k, r0)
  let p1 = f32x4.mul(k, r1)
  let p2 = f32x4.mul(k, r2)
  let p3 = f32x4.mul(k, r3)
  k = v128.load(c, 96)
  p0 = f32x4.mul(f32x4.add(p0, k), r0)
  p1 = f32x4.mul(f32x4.add(p1, k), r1)
  p2 = f32x4.mul(f32x4.add(p2, k), r2)
  p3 = f32x4.mul(f32x4.add(p3, k), r3)
  k = v128.load(c, 112)
  p0 = f32x4.mul(f32x4.add(p0, k), r0)
  p1 = f32x4.mul(f32x4.add(p1, k), r1)
  p2 = f32x4.mul(f32x4.add(p2, k), r2)
  p3 = f32x4.mul(f32x4.add(p3, k), r3)
  k = v128.load(c, 128)
  p0 = f32x4.mul(f32x4.add(p0, k), r0)
  p1 = f32x4.mul(f32x4.add(p1, k), r1)
  p2 = f32x4.mul(f32x4.add(p2, k), r2)
  p3 = f32x4.mul(f32x4.add(p3, k), r3)
  k = v128.load(c, 144)
  p0 = f32x4.mul(f32x4.add(p0, k), r0)
  p1 = f32x4.mul(f32x4.add(p1, k), r1)
  p2 = f32x4.mul(f32x4.add(p2, k), r2)
  p3 = f32x4.mul(f32x4.add(p3, k), r3)
  k = v128.load(c, 160)
  p0 = f32x4.add(p0, k)
  p1 = f32x4.add(p1, k)
  p2 = f32x4.add(p2, k)
  p3 = f32x4.add(p3, k)
  p0 = f32x4.add(f32x4.mul(p0, f32x4.mul(r0, r0)), r0)
  p1 = f32x4.add(f32x4.mul(p1, f32x4.mul(r1, r1)), r1)
  p2 = f32x4.add(f32x4.mul(p2, f32x4.mul(r2, r2)), r2)
  p3 = f32x4.add(f32x4.mul(p3, f32x4.mul(r3, r3)), r3)
  k = v128.load(c, 176)
  p0 = f32x4.add(p0, k)
  p1 = f32x4.add(p1, k)
  p2 = f32x4.add(p2, k)
  p3 = f32x4.add(p3, k)
  k = v128.load(c, 192)
  p0 = f32x4.mul(p0, i32x4.shl(i32x4.add(rounded0, k), 23))
  p1 = f32x4.mul(p1, i32x4.shl(i32x4.add(rounded1, k), 23))
  p2 = f32x4.mul(p2, i32x4.shl(i32x4.add(rounded2, k), 23))
  p3 = f32x4.mul(p3, i32x4.shl(i32x4.add(rounded3, k), 23))
  k = v128.load(c, 208)
  v128.store(y, f32x4.mul(p0, k))
  v128.store(y, f32x4.mul(p1, k), 16)
  v128.store(y, f32x4.mul(p2, k), 32)
  v128.store(y, f32x4.mul(p3, k), 48)
}

/** Striped sum of e^(x[i] - most), where no x[i] is above `most`. */
export function sumExponentials(x: usize, most: f32, length: i32): f32 {
  const constants = writeConstants()
  const end = x + bytes(length)
  const whole = x + wholeStripes(length)
  const shifts = f32x4.splat(most)
  let acc0 = f32x4.splat(0)
  let acc1 = f32x4.splat(0)
  let acc2 = f32x4.splat(0)
  let acc3 = f32x4.splat(0)
  while (x < whole) {
    acc0 = f32x4.add(acc0, power(f32x4.sub(v128.load(x), shifts), constants))
    acc1 = f32x4.add(acc1, power(f32x4.sub(v128.load(x, 16), shifts), constants))
    acc2 = f32x4.add(acc2, power(f32x4.sub(v128.load(x, 32), shifts), constants))
    acc3 = f32x4.add(acc3, power(f32x4.sub(v128.load(x, 48), shifts), constants))
    x += STRIPE
  }
  let total = combine(acc0, acc1, acc2, acc3)
  while (x < end) {
    total += power1(load<f32>(x) - most, constants)
    x += 4
  }
  return total
}

/** Writes what `power` reads, and says where. */
export function writeConstants(): usize {
  const to = exponentialConstants()
  v128.store(to, f32x4.splat(-104))
  v128.store(to, f32x4.splat(1.44269504088896341), 16) // 1 / ln 2
  v128.store(to, f32x4.splat(12582912), 32) // 1.5 * 2^23 rounds to an integer, which then stands in the low bits
  v128.store(to, f32x4.splat(0.693359375), 48) // ln 2, high part
  v128.store(to, f32x4.splat(-2.12194440054690583e-4), 64) // and low part
  v128.store(to, f32x4.splat(1.98756915e-4), 80)
  v128.store(to, f32x4.splat(1.3981999507e-3), 96)
  v128.store(to, f32x4.splat(8.3334519073e-3), 112)
  v128.store(to, f32x4.splat(4.1665795894e-2), 128)
  v128.store(to, f32x4.splat(1.6666665459e-1), 144)
  v128.store(to, f32x4.splat(5.0000001201e-1), 160)
  v128.store(to, f32x4.splat(1), 176)
  v128.store(to, i32x4.splat(127 + 32), 192) // the exponent of 2^32
  v128.store(to, f32x4.splat(2.3283064365386963e-10), 208) // 2^-32
  return to
}

/** e^x of four lanes, x <= 0 or NaN. @param c what `writeConstants` wrote */
export function power(x: v128, c: usize): v128 {
  const v = f32x4.pmax(x, v128.load(c)) // x < -104 ? -104 : x
  const rounded = f32x4.add(f32x4.mul(v, v128.load(c, 16)), v128.load(c, 32))
  const n = f32x4.sub(rounded, v128.load(c, 32))
  const r = f32x4.sub(f32x4.sub(v, f32x4.mul(n, v128.load(c, 48))), f32x4.mul(n, v128.load(c, 64)))
  let p = f32x4.add(f32x4.mul(v128.load(c, 80), r), v128.load(c, 96))
  p = f32x4.add(f32x4.mul(p, r), v128.load(c, 112))
  p = f32x4.add(f32x4.mul(p, r), v128.load(c, 128))
  p = f32x4.add(f32x4.mul(p, r), v128.load(c, 144))
  p = f32x4.add(f32x4.mul(p, r), v128.load(c, 160))
  const e = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), v128.load(c, 176))
  const scale = i32x4.shl(i32x4.add(rounded, v128.load(c, 192)), 23) // 2^(n + 32)
  return f32x4.mul(f32x4.mul(e, scale), v128.load(c, 208))
}

function power1(x: f32, constants: usize): f32 {
  return f32x4.extract_lane(power(f32x4.splat(x), constants), 0)
}
