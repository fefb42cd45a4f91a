/**
 * How the int8 ops round their activations: to whole steps of one size, few enough that sums of products with int8
 * weights are exact in 32 bits.
 *
 *   levels = min(32767, floor((2^31 - 1) / (127 n)))      n: how many of the numbers are not zero
 *   step   = largest |x| / levels                         q = nearest(x / step), ties to the even one
 *
 * An exact sum has no order, so it is the same with any tiles, and a number of zero is no term at all: masked equals
 * zeroed. NaN among the numbers makes the step NaN, and so whatever is multiplied by it.
 */
import { nearestStep } from '../tensor/dtypes.ts'

const { abs, floor, fround, max, min } = Math

/** What 16 bits hold. */
const MAX_LEVELS = 32_767

/** The most steps a number may be away from zero if `count` of them are not zero. */
export function levelsFor(count: number): number {
  return min(MAX_LEVELS, floor((2 ** 31 - 1) / (127 * count)))
}

/** Rounds x to steps; returns the step, with which x[i] is about step * q[i]. Zeros have step 0. */
export function quantizeSteps(
  q: Int16Array, // as long as x
  x: Float32Array,
): number {
  let largest = 0
  let count = 0
  for (const value of x) {
    largest = max(largest, abs(value))
    if (value !== 0) count++
  }
  const levels = levelsFor(count)
  const step = fround(largest / levels)
  for (let i = 0; i < x.length; i++) q[i] = nearestStep(x[i], step, levels)
  return step
}

/** Exact sum of q[i] * weight[i]. */
export function integerDot(
  q: Int16Array, // as long as weight
  weight: Int8Array,
): number {
  let sum = 0
  for (let i = 0; i < q.length; i++) sum += q[i] * weight[i]
  return sum
}
