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
import { defineOp, input, output, scalar, size, type PlainOp } from './op.ts'
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

/** Op definition. */
export const bceOp: PlainOp<typeof bce, [negative_weight: number]> = defineOp({
  name: 'bce',
  formula: 'loss = sum((y (1 - w) + w) (max(z, 0) - z y + log(1 + exp(-|z|)))) / N',
  params: [
    output('loss', '1'),
    input('logits', 'N'),
    input('target', 'N'),
    scalar('negative_weight', 0.1, 1),
    size('N', 1),
  ],
  reference: bce,
  flops: ({ N }) => 55 * N,
  gradients: [
    {
      of: ['logits'],
      op: 'bce_backward',
      bind: {
        logits_grad: 'logits_grad',
        loss_grad: 'loss_grad',
        logits: 'logits',
        target: 'target',
        negative_weight: 'negative_weight',
        N: 'N',
      },
    },
  ],
})

/** Op definition. */
export const bceBackwardOp: PlainOp<typeof bce_backward, [negative_weight: number]> = defineOp({
  name: 'bce_backward',
  formula: 'logits_grad = loss_grad (y (1 - w) + w) (sigmoid(z) - y) / N',
  params: [
    output('logits_grad', 'N'),
    input('loss_grad', '1'),
    input('logits', 'N'),
    input('target', 'N'),
    scalar('negative_weight', 0.1, 1),
    size('N', 1),
  ],
  reference: bce_backward,
  flops: ({ N }) => 28 * N,
})
