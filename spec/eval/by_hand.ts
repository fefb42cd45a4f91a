/**
 * What reports are held to: means, ratios and their errors by plain sums in float64, and how many digits must agree.
 */
import { expect } from 'vitest'

/** Of some numbers; NaN of none. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Sum over sum, and its error as that of a ratio: distances of units from it, n - 1 of them free. Empty places are no units. */
export function ratioByHand(
  above: readonly number[],
  below: readonly number[],
): { value: number; error: number } {
  const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)
  const value = total(above) / total(below)
  const squares = above.map((one, i) => (one - value * below[i]) ** 2)
  const n = above.filter(() => true).length
  return { value, error: n < 2 ? NaN : Math.sqrt((n / (n - 1)) * total(squares)) / total(below) }
}

/** Nine digits of a number. */
export function near(value: number): unknown {
  return expect.closeTo(value, 9 - Math.ceil(Math.log10(Math.abs(value) + 1)))
}

/** Nine digits of each number. */
export function nearAll(expected: Readonly<Record<string, number>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(expected).map(([key, value]) => [key, near(value)]))
}
