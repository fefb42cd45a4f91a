/**
 * The contract of adamw_step: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, accumulator, input, scalar, size } from '../op.ts'
import { adamw_step } from '../adamw_step.ts'

/** Op definition. */
export const adamwStepOp: PlainOp<
  typeof adamw_step,
  [
    rate: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    decay: number,
    correction1: number,
    correction2: number,
  ]
> = defineOp({
  name: 'adamw_step',
  formula: 'w = w (1 - rate decay) - rate (m / correction1) / (sqrt(v / correction2) + epsilon)',
  params: [
    accumulator('weight', 'N'),
    accumulator('mean', 'N'),
    accumulator('square', 'N', { least: 0 }),
    input('grad', 'N'),
    scalar('rate', 1e-4, 1e-1),
    scalar('beta1', 0.5, 0.95),
    scalar('beta2', 0.9, 0.999),
    scalar('epsilon', 1e-8, 1e-4),
    scalar('decay', 0, 0.1),
    scalar('correction1', 0.05, 1),
    scalar('correction2', 0.001, 1),
    size('N'),
  ],
  reference: adamw_step,
  flops: ({ N }) => 15 * N,
})
