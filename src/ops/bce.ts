/**
 * bce: binary cross-entropy of labels against log odds, the loss DejaVu's predictors learn from (arXiv 2310.17157).
 *
 *   cost = max(logit, 0) - logit target + log(1 + e^-|logit|)    = -target log p - (1 - target) log(1 - p),  p = sigmoid
 *   loss = sum(weight cost) / N, striped,   weight = target (1 - negative_weight) + negative_weight
 *   logits_grad = loss_grad / N * weight (p - target)
 *
 * A target is a label, 0 or 1, or a share between them. A target of 1 counts fully, one of 0 by `negative_weight`:
 * where most labels are 0 that keeps them from drowning the others. N is rounded to float32 before it divides.
 */
import { exp, log, sum } from './float32.ts'

const { fround, abs } = Math

/** Weighted binary cross-entropy, the mean over all N numbers. */
export function bce(
  loss: Float32Array, // [1]
  logits: Float32Array, // [N]
  target: Float32Array, // [N]
  negative_weight: number,
  N: number,
): void {
  const costs = new Float32Array(N)
  const floor = fround(negative_weight)
  for (let n = 0; n < N; n++) {
    const logit = logits[n]
    const linear = fround((logit > 0 ? logit : 0) - fround(logit * target[n]))
    const cost = fround(linear + log(fround(1 + exp(-abs(logit)))))
    costs[n] = weigh(target[n], floor) * cost
  }
  loss[0] = sum(costs, 0, N) / fround(N)
}

/** Gradient of bce with respect to the logits. */
export function bce_backward(
  logits_grad: Float32Array, // [N]
  loss_grad: Float32Array, // [1]
  logits: Float32Array, // [N]
  target: Float32Array, // [N]
  negative_weight: number,
  N: number,
): void {
  const factor = fround(loss_grad[0] / fround(N))
  const floor = fround(negative_weight)
  for (let n = 0; n < N; n++) {
    const small = exp(-abs(logits[n]))
    const probability = fround((logits[n] > 0 ? 1 : small) / fround(1 + small))
    logits_grad[n] = factor * fround(weigh(target[n], floor) * fround(probability - target[n]))
  }
}

/** How much a target counts. */
function weigh(target: number, floor: number): number {
  return fround(fround(target * fround(1 - floor)) + floor)
}
