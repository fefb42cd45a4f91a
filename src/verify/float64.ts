/**
 * The formulas of the paper's model in float64, written from the mathematics and not from src/ops: plain sums, no
 * fixed order, the runtime's own Math.exp and Math.log. What an op's rounding is measured against.
 */

/** Sum of a[i] * b[i]. */
export function dot64(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0
  for (let i = 0; i < a.length; i++) total += a[i] * b[i]
  return total
}

/** Sum of |a[i] * b[i]|: the scale of a dot's rounding error. */
export function dotSize64(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0
  for (let i = 0; i < a.length; i++) total += Math.abs(a[i] * b[i])
  return total
}

/** log of the sum of exponentials. */
export function logSumExp64(x: ArrayLike<number>): number {
  const most = Math.max(...Array.from(x))
  return most + Math.log(Array.from(x).reduce((total, value) => total + Math.exp(value - most), 0))
}

/** exp(x) over the sum of exponentials. */
export function softmax64(x: ArrayLike<number>): number[] {
  const total = logSumExp64(x)
  return Array.from(x, (value) => Math.exp(value - total))
}

/** Mean and variance (over N, not N - 1) of a row. */
export function moments64(x: ArrayLike<number>): { mean: number; variance: number } {
  const values = Array.from(x)
  const mean = values.reduce((total, value) => total + value, 0) / values.length
  return { mean, variance: values.reduce((total, value) => total + (value - mean) ** 2, 0) / values.length }
}

/** A score under a cap, cap tanh(score / cap); a cap of 0 or less is none. */
export function capped64(score: number, cap: number): number {
  return cap > 0 ? cap * Math.tanh(score / cap) : score
}

/** softmax(<query, keys> scale, capped) applied to the values: one head, one query over `keys.length` positions. */
export function attention64(
  query: ArrayLike<number>,
  keys: readonly ArrayLike<number>[],
  values: readonly ArrayLike<number>[],
  scale: number,
  cap = 0,
): number[] {
  const weights = softmax64(keys.map((key) => capped64(dot64(query, key) * scale, cap)))
  return Array.from(query, (_, k) => weights.reduce((total, weight, s) => total + weight * values[s][k], 0))
}
