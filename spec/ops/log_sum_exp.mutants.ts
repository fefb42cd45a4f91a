/**
 * Bugs planted in the operations of src/ops/log_sum_exp.ts.
 */
import * as softmaxLaws from '../../src/verify/ops/softmax.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'log_sum_exp',
    'forgets to add the largest back',
    [...agree('log_sum_exp'), softmaxLaws.sumIsExact],
    (log_sum_exp) => (y, x, T, V) => {
      log_sum_exp(y, x, T, V)
      for (let t = 0; t < T; t++) y[t] -= Math.max(...x.subarray(t * V, (t + 1) * V))
    },
  ),

  mutant(
    'log_sum_exp_backward',
    'forgets the gradient of the output',
    [...agree('log_sum_exp_backward'), ...gradients('log_sum_exp')],
    (backward) => (x_grad, y_grad, x, y, T, V) => {
      const wrong = y_grad.map(() => 1)
      backward(x_grad, wrong, x, y, T, V)
    },
  ),
]
