/**
 * Bugs planted in softmax, its logarithm and the losses, and in exp and log themselves.
 */
import { NOT_SCORED } from '../../src/ops/cross_entropy.ts'
import { exp as exp32, log as log32 } from '../../src/ops/float32.ts'
import * as bceLaws from '../../src/verify/ops/bce.ts'
import * as crossEntropyLaws from '../../src/verify/ops/cross_entropy.ts'
import * as expLaws from '../../src/verify/ops/exp.ts'
import * as mseLaws from '../../src/verify/ops/mse.ts'
import * as softmaxLaws from '../../src/verify/ops/softmax.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

const { fround } = Math

/** The mutants of this page. */
export const lossMutants: readonly Mutant[] = [
  mutant(
    'softmax',
    'does not shift by the largest',
    [...agree('softmax'), softmaxLaws.shifts],
    () => (y, x, T, V) => {
      for (let t = 0; t < T; t++) {
        const row = x.subarray(t * V, (t + 1) * V).map(exp32)
        const total = row.reduce((sum, e) => fround(sum + e), 0)
        for (let v = 0; v < V; v++) y[t * V + v] = row[v] / total
      }
    },
  ),

  mutant(
    'softmax',
    'divides by a sum that lacks the last term',
    [softmaxLaws.sumsToOne, softmaxLaws.isExact],
    (softmax) => (y, x, T, V) => {
      softmax(y, x, T, V)
      for (let t = 0; t < T; t++) {
        const row = y.subarray(t * V, (t + 1) * V)
        row.set(row.map((p) => p / (1 - row[V - 1])))
      }
    },
  ),

  mutant(
    'softmax_backward',
    'forgets the mean',
    [...gradients('softmax'), softmaxLaws.gradientSumsToZero],
    () => (x_grad, y_grad, y) => {
      x_grad.set(y.map((p, n) => p * y_grad[n]))
    },
  ),

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
    (cross_entropy) => (nll, logits, labels, T, V) =>
      cross_entropy(
        nll,
        logits,
        labels.map((label) => Math.max(label, 0)),
        T,
        V,
      ),
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

  mutant('exp', "is the engine's own", agree('exp'), () => (y, x) => y.set(x.map(Math.exp))),

  mutant(
    'exp',
    'flushes subnormal results to zero',
    [...agree('exp'), expLaws.expIsNear],
    (exp) => (y, x, N) => {
      exp(y, x, N)
      for (let n = 0; n < N; n++) if (y[n] < 2 ** -126) y[n] = 0
    },
  ),

  mutant(
    'log',
    'takes a negative number for 0',
    [expLaws.specials, expLaws.logIsNear],
    (log) => (y, x, N) =>
      log(
        y,
        x.map((value) => (value < 0 ? 0 : value)),
        N,
      ),
  ),

  mutant(
    'log',
    'forgets that subnormals were scaled',
    [...agree('log'), expLaws.logIsNear],
    (log) => (y, x, N) =>
      log(
        y,
        x.map((value) => (value < 2 ** -126 ? value * 2 ** 23 : value)),
        N,
      ),
  ),

  mutant(
    'mse_backward',
    'forgets the 2',
    [...agree('mse_backward'), ...gradients('mse')],
    (backward) => (grad, loss_grad, prediction, target, N) =>
      backward(
        grad,
        loss_grad.map((g) => g / 2),
        prediction,
        target,
        N,
      ),
  ),

  mutant(
    'log_sum_exp_backward',
    'forgets the gradient of the output',
    [...agree('log_sum_exp_backward'), ...gradients('log_sum_exp')],
    (backward) => (x_grad, y_grad, x, y, T, V) =>
      backward(
        x_grad,
        y_grad.map(() => 1),
        x,
        y,
        T,
        V,
      ),
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
    (backward) => (grad, loss_grad, logits, target, negative_weight, N) =>
      backward(
        grad,
        loss_grad,
        logits.map((logit) => -logit),
        target,
        negative_weight,
        N,
      ),
  ),

  mutant(
    'bce_backward',
    'forgets the label',
    [...gradients('bce'), bceLaws.evenOdds],
    (backward) => (grad, loss_grad, logits, target, negative_weight, N) =>
      backward(grad, loss_grad, logits, target.fill(0), negative_weight, N),
  ),
]
