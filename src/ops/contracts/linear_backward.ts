/**
 * The contract of linear_backward: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, accumulator, input, chosen, size } from '../op.ts'
import { linear_backward_weight, linear_backward_bias } from '../linear_backward.ts'
import { chain, sequential } from '../relaxed.ts'

/** Op definition. */
export const linearBackwardWeightOp: PlainOp<typeof linear_backward_weight> = defineOp({
  name: 'linear_backward_weight',
  formula: 'weight_grad[o,i] += sum over t of y_grad[t,o] x[t,i] for chosen rows o',
  params: [
    accumulator('weight_grad', 'O I'),
    input('y_grad', 'T O'),
    input('x', 'T I'),
    chosen('rows', 'R', 'O'),
    size('T'),
    size('O'),
    size('I'),
    size('R'),
  ],
  reference: linear_backward_weight,
  relaxed: chain(({ T }) => sequential(T), 'weight_grad y_grad x'),
  flops: ({ T, R, I }) => 2 * T * R * I,
  bytes: ({ T, R, I }) => 4 * (R * I + T * R + T * I + R),
})

/** Op definition. */
export const linearBackwardBiasOp: PlainOp<typeof linear_backward_bias> = defineOp({
  name: 'linear_backward_bias',
  formula: 'bias_grad[o] += sum over t of y_grad[t,o] for chosen rows o',
  params: [
    accumulator('bias_grad', 'O'),
    input('y_grad', 'T O'),
    chosen('rows', 'R', 'O'),
    size('T'),
    size('O'),
    size('R'),
  ],
  reference: linear_backward_bias,
  flops: ({ T, R }) => T * R,
  bytes: ({ T, R }) => 4 * (2 * R + T * R),
})
