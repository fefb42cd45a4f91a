/**
 * Comparison of numbers, with the message for those that differ. It is cheaper than an assertion for each number, so that a
 * law can compare all of them.
 */

function fail(what: string, i: number, expected: string, actual: number): never {
  throw new Error(`${what}[${i}]: expected ${expected}, got ${Object.is(actual, -0) ? '-0' : actual}`)
}

function sameLength(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  if (actual.length !== expected.length)
    throw new Error(`${what}: expected ${expected.length} numbers, got ${actual.length}`)
}

/** Equal bits; NaN equals NaN, -0 does not equal +0. @throws Error naming the first that differs. */
export function sameBits(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  sameLength(what, actual, expected)
  for (let i = 0; i < expected.length; i++)
    if (!Object.is(actual[i], expected[i]))
      fail(what, i, Object.is(expected[i], -0) ? '-0' : String(expected[i]), actual[i])
}

/** Equal as numbers (===); NaN equals NaN, -0 equals +0. @throws Error naming the first that differs. */
export function sameNumbers(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  sameLength(what, actual, expected)
  for (let i = 0; i < expected.length; i++)
    if (actual[i] !== expected[i] && !(actual[i] !== actual[i] && expected[i] !== expected[i]))
      fail(what, i, String(expected[i]), actual[i])
}

/**
 * Within an absolute error, one for all numbers or one per number; NaN is never near.
 * @throws Error naming the first that is too far off.
 */
export function near(
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  error: number | ArrayLike<number>,
): void {
  sameLength(what, actual, expected)
  for (let i = 0; i < expected.length; i++) {
    const most = typeof error === 'number' ? error : error[i]
    if (!(Math.abs(actual[i] - expected[i]) <= most)) fail(what, i, `${expected[i]} ± ${most}`, actual[i])
  }
}

/** The distance from 1 to the next float32: twice the worst relative error of one rounding. */
export const epsilon32: number = 2 ** -23

/** One number, equal to another bit for bit. @throws Error with both */
export function same(what: string, actual: number, expected: number): void {
  if (!Object.is(actual, expected)) throw new Error(`${what}: expected ${expected}, got ${actual}`)
}

/** No number below the other's. @throws Error naming the first that is */
export function atLeast(what: string, actual: ArrayLike<number>, least: ArrayLike<number>): void {
  sameLength(what, actual, least)
  for (let i = 0; i < least.length; i++)
    if (!(actual[i] >= least[i])) fail(what, i, `${least[i]} or more`, actual[i])
}
