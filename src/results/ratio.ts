/**
 * A ratio of sums over windows, pages or documents, and how far chance moves it.
 */

/** A ratio and its standard error. */
export interface Ratio {
  readonly value: number
  /** NaN for fewer than two units. */
  readonly error: number
}

/**
 * The sum of `above` over the sum of `below`, each pair from one unit drawn at random; the error is that of a ratio
 * estimator: the units' own distances from the ratio, weighted as they are.
 */
export function ratioOf(above: readonly number[], below: readonly number[]): Ratio {
  const total = below.reduce((sum, value) => sum + value, 0)
  const value = above.reduce((sum, one) => sum + one, 0) / total
  const units = above.length
  const squares = above.reduce((sum, one, i) => sum + (one - value * below[i]) ** 2, 0)
  return { value, error: units < 2 ? NaN : Math.sqrt((squares * units) / (units - 1)) / total }
}
