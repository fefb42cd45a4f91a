/**
 * Bugs planted in the operations of src/ops/bce.ts.
 */
import { exp as exp32, log as log32 } from '../../src/ops/float32.ts'
import * as bceLaws from '../../src/verify/ops/bce.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

const { fround } = Math

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'bce',
    'takes the exponential of the logit itself',
    [...agree('bce'), bceLaws.isWeightedMean],
    () => (loss, logits, target, negative_weight, N) => {
      loss[0] = 0
      for (let n = 0; n < N; n++) {
        const weight = target[n] * (1 - negative_weight) + negative_weight
        const cost = fround(log32(fround(1 + exp32(logits[n])))) - logits[n] * target[n]
        loss[0] += (weight * cost) / N
      }
    },
  ),

  mutant(
    'bce',
    'counts every target fully',
    [...agree('bce'), bceLaws.isWeightedMean, bceLaws.negativesCountByWeight],
    (bce) => (loss, logits, target, _, N) => bce(loss, logits, target, 1, N),
  ),

  mutant(
    'bce_backward',
    'has the sign of the logit wrong',
    [...agree('bce_backward'), ...gradients('bce')],
    (backward) => (grad, loss_grad, logits, target, negative_weight, N) => {
      const wrong = logits.map((logit) => -logit)
      backward(grad, loss_grad, wrong, target, negative_weight, N)
    },
  ),

  mutant(
    'bce_backward',
    'forgets the label',
    [...gradients('bce'), bceLaws.evenOdds],
    (backward) => (grad, loss_grad, logits, target, negative_weight, N) =>
      backward(grad, loss_grad, logits, target.fill(0), negative_weight, N),
  ),
]
