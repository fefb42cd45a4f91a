/**
 * Bugs planted in layer norm, in the ops over single numbers, in the sum of squares, in AdamW and in top_k.
 */
import * as adamwLaws from '../../src/verify/ops/adamw_step.ts'
import * as addLaws from '../../src/verify/ops/add.ts'
import * as layerNormLaws from '../../src/verify/ops/layer_norm.ts'
import * as maskLaws from '../../src/verify/ops/mask_units.ts'
import * as minMaxLaws from '../../src/verify/ops/min_max.ts'
import * as reluLaws from '../../src/verify/ops/relu.ts'
import * as sumLaws from '../../src/verify/ops/sums.ts'
import * as topKLaws from '../../src/verify/ops/top_k.ts'
import type { Definition } from '../harness/mutate.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

const { fround } = Math

/** top_k on scores in another order. */
function topKBy(better: (a: number, b: number) => number): Definition<'top_k'> {
  return (indices, scores, N, R) => {
    const order = Array.from({ length: N }, (_, n) => n).sort((a, b) => better(scores[a], scores[b]) || b - a)
    indices.set(order.slice(0, R).sort((a, b) => a - b))
  }
}

/** The mutants of this page. */
export const otherMutants: readonly Mutant[] = [
  mutant(
    'layer_norm',
    'leaves the mean in',
    [layerNormLaws.standardises, layerNormLaws.isClosedForm, layerNormLaws.constantRow],
    (layer_norm) => (y, x, weight, bias, epsilon, T, D) => {
      layer_norm(y, x, weight, bias, epsilon, T, D)
      y.set(y.map((value, n) => value + x[n]))
    },
  ),

  mutant(
    'layer_norm',
    'ignores epsilon',
    [...agree('layer_norm'), layerNormLaws.isClosedForm],
    (layer_norm) => (y, x, weight, bias, _, T, D) => layer_norm(y, x, weight, bias, 0, T, D),
  ),

  mutant(
    'layer_norm',
    'divides the variance by D - 1',
    [...agree('layer_norm'), layerNormLaws.standardises, layerNormLaws.isClosedForm],
    (layer_norm) => (y, x, weight, bias, epsilon, T, D) => {
      const narrow = weight.map((w) => w * Math.sqrt(Math.max(D - 1, 1) / D))
      layer_norm(y, x, narrow, bias, epsilon, T, D)
    },
  ),

  mutant(
    'layer_norm_backward',
    'has one sign wrong',
    [...agree('layer_norm_backward'), ...gradients('layer_norm'), layerNormLaws.gradientIsOrthogonal],
    (backward) => (x_grad, weight_grad, bias_grad, y_grad, x, weight, epsilon, T, D) => {
      const sum = x_grad.slice()
      backward(x_grad, weight_grad, bias_grad, y_grad, x, weight, epsilon, T, D)
      // scale (g - mean(g)) is what a gradient without the second mean gives; reflecting about it flips that mean.
      for (let t = 0; t < T; t++) {
        const row = (values: Float32Array): Float32Array => values.subarray(t * D, (t + 1) * D)
        const mean = row(x).reduce((total, value) => total + value, 0) / D
        const variance = row(x).reduce((total, value) => total + (value - mean) ** 2, 0) / D
        const g = row(y_grad).map((value, d) => value * weight[d])
        const gMean = g.reduce((total, value) => total + value, 0) / D
        row(sum).set(g.map((value) => (value - gMean) / Math.sqrt(variance + epsilon)))
      }
      x_grad.set(x_grad.map((value, n) => 2 * sum[n] - value))
    },
  ),

  mutant(
    'relu',
    'lets NaN through',
    agree('relu'),
    () => (y, x) => y.set(x.map((value) => (value <= 0 ? 0 : value))),
  ),

  mutant(
    'relu',
    'keeps the sign of a zero',
    [...agree('relu'), reluLaws.splitsInTwo],
    () => (y, x) => y.set(x.map((value) => (value < 0 ? 0 : value))),
  ),

  mutant(
    'relu_backward',
    'is open at the kink',
    [...agree('relu_backward'), reluLaws.gradientIsGate],
    () => (x_grad, y_grad, x) => x_grad.set(y_grad.map((g, n) => (x[n] >= 0 ? g : 0))),
  ),

  mutant(
    'mask_units',
    'lets a number leak into the next',
    [...agree('mask_units'), maskLaws.maskOfOnes, ...gradients('mask_units')],
    (mask_units) => (y, x, mask, T, U, K) => {
      mask_units(y, x, mask, T, U, K)
      y.set(y.map((value, n) => value + (n > 0 ? x[n - 1] : 0)))
    },
  ),

  mutant(
    'mask_units',
    'takes the mask by channel',
    [...agree('mask_units'), maskLaws.maskOfOnes, maskLaws.derivativeByMask],
    () => (y, x, mask, _, U, K) => y.set(x.map((value, n) => value * (mask[(n % K) % U] ?? 1))),
  ),

  mutant(
    'min_max',
    'divides a constant row by nothing',
    [...agree('min_max'), minMaxLaws.spansZeroToOne],
    () => (y, x, T, D) => {
      for (let t = 0; t < T; t++) {
        const row = x.subarray(t * D, (t + 1) * D)
        const [least, most] = [Math.min(...row), Math.max(...row)]
        y.set(
          row.map((value) => fround(value - least) / fround(most - least)),
          t * D,
        )
      }
    },
  ),

  mutant('sum', 'forgets what the total was', [...agree('sum'), sumLaws.isSum], (sum) => (total, x, N) => {
    total[0] = 0
    sum(total, x, N)
  }),

  mutant(
    'sum_squares',
    'forgets what the total was',
    [...agree('sum_squares'), sumLaws.isSumOfSquares],
    (sum_squares) => (total, x, N) => {
      total[0] = 0
      sum_squares(total, x, N)
    },
  ),

  mutant(
    'adamw_step',
    'decays the gradient instead of the weight',
    [...agree('adamw_step'), adamwLaws.decayAlone, adamwLaws.followsFloat64],
    (step) => (w, m, v, g, rate, b1, b2, epsilon, decay, c1, c2, N) =>
      step(
        w,
        m,
        v,
        g.map((value, n) => value + decay * w[n]),
        rate,
        b1,
        b2,
        epsilon,
        0,
        c1,
        c2,
        N,
      ),
  ),

  mutant(
    'adamw_step',
    'does not correct its young moments',
    [...agree('adamw_step'), adamwLaws.firstStep, adamwLaws.followsFloat64],
    (step) => (w, m, v, g, rate, b1, b2, epsilon, decay, _c1, _c2, N) =>
      step(w, m, v, g, rate, b1, b2, epsilon, decay, 1, 1, N),
  ),

  mutant('top_k', 'gives ties to the higher index', [...agree('top_k'), topKLaws.isCounted], () =>
    topKBy((a, b) => (a === b ? 0 : b - a)),
  ),

  mutant(
    'top_k',
    'keeps the worst when an odd number is asked for',
    [topKLaws.isCounted],
    (top_k) => (indices, scores, N, R) =>
      top_k(indices, R % 2 === 1 ? scores.map((score) => -score) : scores, N, R),
  ),

  mutant('top_k', 'ranks -0 below +0', [...agree('top_k'), topKLaws.isCounted], () =>
    topKBy((a, b) => (a === b ? Number(Object.is(a, -0)) - Number(Object.is(b, -0)) : b - a)),
  ),

  mutant(
    'top_k',
    'ranks NaN first',
    [...agree('top_k'), topKLaws.isCounted],
    (top_k) => (indices, scores, N, R) =>
      top_k(
        indices,
        scores.map((score) => (Number.isNaN(score) ? Infinity : score)),
        N,
        R,
      ),
  ),

  mutant(
    'add',
    'adds the same term twice',
    [...agree('add'), addLaws.roundsOnce],
    (add) => (y, a, _, N) => add(y, a, a, N),
  ),
]
