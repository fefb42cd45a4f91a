/**
 * How far two distributions over the next token are apart, from their logits: float64 sums on the host.
 */

/** One row of logits, summed up. */
export interface RowSum {
  /** log of the sum of exp. */
  readonly logSum: number
  /** The likeliest token, the first of equals. */
  readonly best: number
}

/** Sums up row [V] of logits that begins at `at`. */
export function sumRow(logits: Float32Array, at: number, V: number): RowSum {
  let best = 0
  for (let v = 1; v < V; v++) if (logits[at + v] > logits[at + best]) best = v
  const most = logits[at + best]
  let sum = 0
  for (let v = 0; v < V; v++) sum += Math.exp(logits[at + v] - most)
  return { logSum: most + Math.log(sum), best }
}

/** The sum over tokens of p (log p - log q). */
export function divergence(
  p: Float32Array,
  pAt: number,
  pLogSum: number,
  q: Float32Array,
  qAt: number,
  qLogSum: number,
  V: number,
): number {
  let sum = 0
  for (let v = 0; v < V; v++) {
    const logP = p[pAt + v] - pLogSum
    sum += Math.exp(logP) * (logP - (q[qAt + v] - qLogSum))
  }
  return sum
}

/** KL(dense || other) of the logits of one position, in nats; both [V]. */
export function logitsDivergence(dense: Float32Array, other: Float32Array): number {
  const V = dense.length
  return divergence(dense, 0, sumRow(dense, 0, V).logSum, other, 0, sumRow(other, 0, V).logSum, V)
}
