/**
 * Bugs planted in the operations of src/ops/linear.ts.
 */
import * as halfLaws from '../../src/verify/ops/half_precision.ts'
import * as linearLaws from '../../src/verify/ops/linear.ts'
import { dot } from '../../src/ops/float32.ts'
import { chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import { tokensApart } from '../../src/verify/ops/tokens.ts'
import { agree, mutant, type Mutant } from './mutant.ts'
import { flushF16, truncateBf16 } from './narrow.mutants.ts'

const { fround } = Math

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'linear',
    'drops the tail',
    [...agree('linear'), linearLaws.isProduct, linearLaws.identity],
    (linear) => (y, x, weight, bias, rows, T, O, I, R) => {
      const short = x.map((value, i) => (i % I < I - (I % 16) ? value : 0))
      linear(y, short, weight, bias, rows, T, O, I, R)
    },
  ),

  mutant(
    'linear',
    'forgets the bias',
    [...agree('linear'), linearLaws.isProduct],
    (linear) => (y, x, weight, _, rows, T, O, I, R) => linear(y, x, weight, null, rows, T, O, I, R),
  ),

  mutant(
    'linear',
    'takes the place in the list for the row',
    [...agree('linear'), chosenIsZeroed('linear'), othersAreUnseen('linear')],
    () => (y, x, weight, bias, rows, T, O, I, R) => {
      y.fill(0, 0, T * O)
      for (let t = 0; t < T; t++)
        for (let r = 0; r < (rows ? R : O); r++) {
          const o = rows ? rows[r] : r
          y[t * O + o] = fround(dot(x, t * I, weight, r * I, I) + (bias?.[o] ?? 0))
        }
    },
  ),

  mutant(
    'linear',
    'adds in another order when there are many tokens',
    [...agree('linear'), tokensApart('linear')],
    (linear) => (y, x, weight, bias, rows, T, O, I, R) => {
      linear(y, x, weight, bias, rows, T, O, I, R)
      if (T < 4 || rows) return
      for (let t = 0; t < T; t++)
        for (let o = 0; o < O; o++) {
          let total = 0
          for (let i = 0; i < I; i++) total = fround(total + fround(x[t * I + i] * weight[o * I + i]))
          y[t * O + o] = bias ? fround(total + bias[o]) : total
        }
    },
  ),

  mutant(
    'linear_bf16',
    'drops the last bit of its weights',
    [...agree('linear_bf16'), halfLaws.linearBf16],
    (linear) => (y, x, weight, bias, rows, T, O, I, R) =>
      linear(y, x, truncateBf16(weight), bias, rows, T, O, I, R),
  ),

  mutant(
    'linear_f16',
    'takes subnormal weights for zeros',
    [...agree('linear_f16'), halfLaws.linearF16],
    (linear) => (y, x, weight, bias, rows, T, O, I, R) =>
      linear(y, x, flushF16(weight), bias, rows, T, O, I, R),
  ),

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
