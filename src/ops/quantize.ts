/**
 * Rows of numbers as small integers times a step: how the int8 ops write what they keep and read what they are given.
 *
 * Every step is rounded to float32, and a quotient goes to the nearest integer, ties to even. A row that holds NaN or an
 * infinity has the step NaN and zeros for integers, so that whatever is made of it is NaN.
 */

const { fround, abs, max, min } = Math

/** Adding and subtracting it rounds a float32 below 2^22 to the nearest integer, ties to even. */
const ROUNDER = 12_582_912

/** The most that an int8 holds; -128 is left out, so that negation is exact. */
const MOST_INT8 = 127
/** The same of int16. */
const MOST_INT16 = 32_767
/** What a sum of products has to stay within. */
const MOST_INT32 = 2 ** 31 - 1

/** The largest float32 that times 127 is still finite. */
const LARGEST_SCALE = 2.6793883890187504e36

/** The largest size in a row; NaN if any number is not finite. */
function largestSize(x: Float32Array, start: number, length: number): number {
  let largest = 0
  for (let i = start; i < start + length; i++) {
    if (!Number.isFinite(x[i])) return NaN
    largest = max(largest, abs(x[i]))
  }
  return largest
}

/** q[i] = nearest(x[i] / step), at most `most` in size: where a step is subnormal a quotient may pass it. */
function divide(
  q: Int8Array | Int16Array,
  qStart: number,
  x: Float32Array,
  xStart: number,
  length: number,
  step: number,
  most: number,
): void {
  for (let i = 0; i < length; i++) {
    const quotient = step > 0 ? fround(x[xStart + i] / step) : 0
    q[qStart + i] = max(-most, min(most, fround(fround(quotient + ROUNDER) - ROUNDER)))
  }
}

/** Writes a row as int8 and returns its scale: the largest size / 127. */
export function quantizeInt8(
  q: Int8Array,
  qStart: number,
  x: Float32Array,
  xStart: number,
  length: number,
): number {
  const scale = min(fround(largestSize(x, xStart, length) / MOST_INT8), LARGEST_SCALE)
  divide(q, qStart, x, xStart, length, scale, MOST_INT8)
  return scale
}

/**
 * Writes a row as int16 and returns its step: the largest size / levels. There are as many levels as let a sum of
 * products with int8 numbers stay an int32: at most 32,767, and fewer from 517 numbers other than zero on.
 */
export function quantizeInt16(q: Int16Array, x: Float32Array, length: number): number {
  let count = 0
  for (let i = 0; i < length; i++) if (x[i] !== 0) count++
  const levels = min(MOST_INT16, Math.floor(MOST_INT32 / (MOST_INT8 * count)))
  const step = fround(largestSize(x, 0, length) / levels)
  divide(q, 0, x, 0, length, step, levels)
  return step
}
