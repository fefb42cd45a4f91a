/**
 * The contract of rotary: parameters, cost, gradients and bounds.
 */
import { defineOp, input, output, size, sizes, type PlainOp } from '../op.ts'
import { rotary, rotary_backward } from '../rotary.ts'

/** Op definition. */
export const rotaryOp: PlainOp<typeof rotary> = defineOp({
  name: 'rotary',
  formula:
    'y[i] = x[i] cos - x[i + M] sin, y[i + M] = x[i + M] cos + x[i] sin, of the first R numbers of each head',
  params: [
    output('y', 'T*H K', { mayAlias: 'x' }),
    input('x', 'T*H K'),
    input('table', 'T R'),
    ...sizes('T H R'),
    size('K', 'R'),
  ],
  reference: rotary,
  flops: ({ T, H, R }) => 3 * T * H * R,
  gradients: [{ of: ['x'], op: 'rotary_backward' }],
})

/** Op definition. */
export const rotaryBackwardOp: PlainOp<typeof rotary_backward> = defineOp({
  name: 'rotary_backward',
  formula: 'x_grad[i] = y_grad[i] cos + y_grad[i + M] sin, x_grad[i + M] = y_grad[i + M] cos - y_grad[i] sin',
  params: [
    output('x_grad', 'T*H K', { mayAlias: 'y_grad' }),
    input('y_grad', 'T*H K'),
    input('table', 'T R'),
    ...sizes('T H R'),
    size('K', 'R'),
  ],
  reference: rotary_backward,
  flops: ({ T, H, R }) => 3 * T * H * R,
})
