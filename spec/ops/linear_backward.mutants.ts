/**
 * Bugs planted in the operations of src/ops/linear_backward.ts.
 */
import * as linearLaws from '../../src/verify/ops/linear.ts'
import { tokensApart } from '../../src/verify/ops/tokens.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'linear_backward_weight',
    'overwrites instead of adding',
    [
      ...agree('linear_backward_weight'),
      tokensApart('linear_backward_weight'),
      linearLaws.weightGradientIsProduct,
    ],
    (backward) => (weight_grad, y_grad, x, rows, T, O, I, R) => {
      weight_grad.fill(0)
      backward(weight_grad, y_grad, x, rows, T, O, I, R)
    },
  ),

  mutant(
    'linear_backward_bias',
    'overwrites instead of adding',
    [...agree('linear_backward_bias'), tokensApart('linear_backward_bias'), linearLaws.biasGradientIsSum],
    (backward) => (bias_grad, y_grad, rows, T, O, R) => {
      bias_grad.fill(0)
      backward(bias_grad, y_grad, rows, T, O, R)
    },
  ),
]
