/**
 * cross_entropy: the negative log-likelihood of each label, in nats.
 *
 *   nll[t] = log(sum(exp(logits[t] - max))) - (logits[t, label[t]] - max)      0 where the label is -100 (not scored)
 *
 * It is log_sum_exp less the label's logit, with the largest logit taken out of both before they are rounded: the loss
 * of a confident prediction keeps its digits however large the logits are.
 *
 * Backward: logits_grad[t] = nll_grad[t] * (softmax(logits[t]) - onehot(label[t])), and 0 where not scored.
 * The shift by one position (position t is scored by logits[t - 1]) and the mean over scored tokens are the model's.
 */
import { exponentials } from './softmax.ts'
import { log } from './float32.ts'

const { fround } = Math

/** The label of a position that is not scored, as in Hugging Face. */
export const NOT_SCORED = -100

/** Negative log-likelihood per row. */
export function cross_entropy(
  nll: Float32Array, // [T]
  logits: Float32Array, // [T, V]
  labels: Int32Array, // [T], in [0, V) or -100
  T: number,
  V: number,
): void {
  const row = new Float32Array(V)
  for (let t = 0; t < T; t++) {
    nll[t] = 0
    if (labels[t] === NOT_SCORED) continue
    const { most, total } = exponentials(row, 0, logits, t * V, V)
    nll[t] = log(total) - fround(logits[t * V + labels[t]] - most)
  }
}

/** Gradient of cross_entropy with respect to the logits. */
export function cross_entropy_backward(
  logits_grad: Float32Array, // [T, V]
  nll_grad: Float32Array, // [T]
  logits: Float32Array, // [T, V]
  labels: Int32Array, // [T], in [0, V) or -100
  T: number,
  V: number,
): void {
  for (let t = 0; t < T; t++) {
    const start = t * V
    if (labels[t] === NOT_SCORED) {
      logits_grad.fill(0, start, start + V)
      continue
    }
    const { total } = exponentials(logits_grad, start, logits, start, V)
    for (let v = 0; v < V; v++) {
      const probability = fround(logits_grad[start + v] / total)
      const error = v === labels[t] ? fround(probability - 1) : probability
      logits_grad[start + v] = nll_grad[t] * error
    }
  }
}
