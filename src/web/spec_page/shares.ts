/**
 * Probabilities of next tokens, as they are shown.
 */

/** The softmax of logits [V] in float64. */
export function sharesOf(logits: Float32Array): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b))
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - most))
  const total = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight) => weight / total)
}
