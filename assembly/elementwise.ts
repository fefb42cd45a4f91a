/**
 * Arithmetic on arrays, element by element: nothing here has an order.
 */
import { bytes, madd, madd1, STRIPE, wholeQuads, wholeStripes } from './float32'

/** y[i] += factor * x[i], i < length: one term of a sequential sum. */
export function addScaled(y: usize, x: usize, factor: f32, length: i32): void {
  const end = x + bytes(length)
  const whole = x + wholeStripes(length)
  const factors = f32x4.splat(factor)
  while (x < whole) {
    v128.store(y, madd(v128.load(y), factors, v128.load(x)))
    v128.store(y, madd(v128.load(y, 16), factors, v128.load(x, 16)), 16)
    v128.store(y, madd(v128.load(y, 32), factors, v128.load(x, 32)), 32)
    v128.store(y, madd(v128.load(y, 48), factors, v128.load(x, 48)), 48)
    y += STRIPE
    x += STRIPE
  }
  while (x < end) {
    store<f32>(y, madd1(load<f32>(y), factor, load<f32>(x)))
    y += 4
    x += 4
  }
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

/** y[i] *= x[i], i < length. */
export function multiplyArray(y: usize, x: usize, length: i32): void {
  const end = y + bytes(length)
  const whole = y + wholeQuads(length)
  while (y < whole) {
    v128.store(y, f32x4.mul(v128.load(y), v128.load(x)))
    y += 16
    x += 16
  }
  while (y < end) {
    store<f32>(y, load<f32>(y) * load<f32>(x))
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
