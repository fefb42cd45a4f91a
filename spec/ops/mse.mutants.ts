/**
 * Bugs planted in the operations of src/ops/mse.ts.
 */
import * as mseLaws from '../../src/verify/ops/mse.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'mse_backward',
    'forgets the 2',
    [...agree('mse_backward'), ...gradients('mse')],
    (backward) => (grad, loss_grad, prediction, target, N) => {
      const wrong = loss_grad.map((g) => g / 2)
      backward(grad, wrong, prediction, target, N)
    },
  ),

  mutant(
    'mse',
    'is a sum and not a mean',
    [...agree('mse'), mseLaws.isMeanOfSquares, ...gradients('mse')],
    (mse) => (loss, prediction, target, N) => {
      mse(loss, prediction, target, N)
      loss[0] *= N
    },
  ),
]
