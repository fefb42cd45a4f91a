/**
 * The contract of bce: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, output, input, scalar, size } from '../op.ts'
import { bce, bce_backward } from '../bce.ts'

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
  gradients: [{ of: ['logits'], op: 'bce_backward' }],
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
