/**
 * Bugs planted in the operations of src/ops/cross_entropy.ts.
 */
import { NOT_SCORED } from '../../src/ops/cross_entropy.ts'
import { exp as exp32, log as log32 } from '../../src/ops/float32.ts'
import * as crossEntropyLaws from '../../src/verify/ops/cross_entropy.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

const { fround } = Math

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'cross_entropy',
    'takes the largest logit out too late',
    [...agree('cross_entropy'), crossEntropyLaws.shifts],
    () => (nll, logits, labels, T, V) => {
      for (let t = 0; t < T; t++) {
        const row = logits.subarray(t * V, (t + 1) * V)
        const most = row.reduce((a, b) => Math.max(a, b), -Infinity)
        const total = row.reduce((sum, x) => fround(sum + exp32(fround(x - most))), 0)
        nll[t] = labels[t] === NOT_SCORED ? 0 : fround(most + log32(total)) - row[labels[t]]
      }
    },
  ),

  mutant(
    'cross_entropy',
    'counts in bits',
    [...agree('cross_entropy'), crossEntropyLaws.isClosedForm],
    (cross_entropy) => (nll, logits, labels, T, V) => {
      cross_entropy(nll, logits, labels, T, V)
      nll.set(nll.map((cost) => cost / Math.LN2))
    },
  ),

  mutant(
    'cross_entropy',
    'takes "not scored" for the first label',
    [...agree('cross_entropy'), crossEntropyLaws.notScored],
    (cross_entropy) => (nll, logits, labels, T, V) => {
      const wrong = labels.map((label) => Math.max(label, 0))
      cross_entropy(nll, logits, wrong, T, V)
    },
  ),

  mutant(
    'cross_entropy_backward',
    'forgets the label',
    [...gradients('cross_entropy'), crossEntropyLaws.gradientIsClosedForm],
    (backward) => (logits_grad, nll_grad, logits, labels, T, V) => {
      backward(logits_grad, nll_grad, logits, labels, T, V)
      for (let t = 0; t < T; t++) if (labels[t] !== NOT_SCORED) logits_grad[t * V + labels[t]] += nll_grad[t]
    },
  ),
]
