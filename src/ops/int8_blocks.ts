/**
 * How products with blocks round their activations: blocks of 32 to int8, each with a step of its own.
 *
 *   step = largest |x| / 127        q = nearest(x / step), ties to the even one        sum = step * (the sum of q)
 *
 * Products with 4-bit numbers are then whole numbers whose sum over a block is at most 60,960: exact in any order, in
 * 32 bits and as a float32. A number of zero is no term at all: masked equals zeroed. NaN among the numbers makes the step
 * NaN, and so whatever is multiplied by it; so does an infinity, whose product with 0 is NaN.
 */
import { nearestStep } from '../tensor/dtypes.ts'

const { abs, fround, max } = Math

/** Steps a number may be away from zero. */
export const LEVELS = 127

/** Rounds x to steps; returns the step, with which x[i] is about step * q[i]. Zeros have step 0. */
export function roundBlock(
  q: Int8Array, // as long as x
  x: Float32Array,
): number {
  let largest = 0
  for (const value of x) largest = max(largest, abs(value))
  const step = fround(largest / LEVELS)
  for (let i = 0; i < x.length; i++) q[i] = nearestStep(x[i], step, LEVELS)
  return step
}

/**
 * What a block adds to an output: (scale step) <q, n> + minimum sum, each operation rounded to float32.
 * @param product <q, n>, a whole number
 * @param sum the step times the sum of q
 */
export function blockTerm(
  scale: number,
  minimum: number,
  step: number,
  product: number,
  sum: number,
): number {
  return fround(fround(fround(scale * step) * product) + fround(minimum * sum))
}
