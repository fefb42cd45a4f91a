/**
 * The contract of cross_entropy: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, output, input, labels as labelList, size } from '../op.ts'
import { cross_entropy, cross_entropy_backward } from '../cross_entropy.ts'

/** Op definition. */
export const crossEntropyOp: PlainOp<typeof cross_entropy> = defineOp({
  name: 'cross_entropy',
  formula: 'nll[t] = log_sum_exp(logits[t]) - logits[t, labels[t]]; 0 where the label is -100',
  params: [
    output('nll', 'T'),
    input('logits', 'T V'),
    labelList('labels', 'T', 'V'),
    size('T'),
    size('V', 1),
  ],
  reference: cross_entropy,
  flops: ({ T, V }) => 23 * T * V,
  gradients: [{ of: ['logits'], op: 'cross_entropy_backward' }],
})

/** Op definition. */
export const crossEntropyBackwardOp: PlainOp<typeof cross_entropy_backward> = defineOp({
  name: 'cross_entropy_backward',
  formula: 'logits_grad[t] = nll_grad[t] (softmax(logits[t]) - onehot(labels[t])); 0 where the label is -100',
  params: [
    output('logits_grad', 'T V'),
    input('nll_grad', 'T'),
    input('logits', 'T V'),
    labelList('labels', 'T', 'V'),
    size('T'),
    size('V', 1),
  ],
  reference: cross_entropy_backward,
  flops: ({ T, V }) => 25 * T * V,
})
