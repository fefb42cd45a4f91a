/**
 * Whether two runs of the method have the same steps, bit for bit.
 */
import type { SomeSteps } from './method.ts'

/** Whether all numbers and texts are equal; -0 is not 0, and a NaN is itself. */
export function sameBits(a: SomeSteps, b: SomeSteps): boolean {
  return same(a, b)
}

function same(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || a === null) return Object.is(a, b)
  if (typeof b !== 'object' || b === null) return false
  if (a instanceof Float32Array && b instanceof Float32Array)
    return a.length === b.length && a.every((value, i) => Object.is(value, b[i]))
  const [own, other] = [Object.keys(a), Object.keys(b)]
  if (own.length !== other.length) return false
  return own.every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
}
