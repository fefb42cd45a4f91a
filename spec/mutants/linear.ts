/**
 * Bugs planted in linear layers, embeddings and the transpose.
 */
import { kernels } from '../../src/ops/catalog.ts'
import { dot } from '../../src/ops/float32.ts'
import * as embeddingLaws from '../../src/verify/ops/embedding.ts'
import * as linearLaws from '../../src/verify/ops/linear.ts'
import * as transposeLaws from '../../src/verify/ops/transpose.ts'
import * as zeroLaws from '../../src/verify/ops/zero_terms.ts'
import { chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import { gradientLaw } from '../../src/verify/ops/gradients.ts'
import { tokensApart } from '../../src/verify/ops/tokens.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

const { fround } = Math

/** The mutants of this page. */
export const linearMutants: readonly Mutant[] = [
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
    'linear_input_major',
    'multiplies the skipped inputs by zero',
    [...agree('linear_input_major'), othersAreUnseen('linear_input_major')],
    (linear_input_major) => (y, x, weight, bias, inputs, T, O, I, R) => {
      const chosen = new Set(inputs ? inputs.slice(0, R) : Array.from({ length: I }, (_, i) => i))
      const zeroed = x.map((value, n) => value * Number(chosen.has(n % I)))
      linear_input_major(y, zeroed, weight, bias, null, T, O, I, I)
    },
  ),

  mutant(
    'linear_input_major',
    'adds in ascending order whatever the list says',
    [linearLaws.addsInOrder],
    (linear_input_major) => (y, x, weight, bias, inputs, T, O, I, R) =>
      linear_input_major(y, x, weight, bias, inputs && inputs.slice(0, R).sort(), T, O, I, R),
  ),

  mutant(
    'linear_input_major',
    'starts from the bias',
    agree('linear_input_major'),
    () => (y, x, weight, bias, inputs, T, O, I, R) => {
      for (let t = 0; t < T; t++)
        for (let o = 0; o < O; o++) {
          let total = bias ? bias[o] : 0
          for (let r = 0; r < (inputs ? R : I); r++) {
            const i = inputs ? inputs[r] : r
            total = fround(total + fround(x[t * I + i] * weight[i * O + o]))
          }
          y[t * O + o] = total
        }
    },
  ),

  mutant(
    'linear_input_major',
    'takes tiny inputs for zeros',
    [...agree('linear_input_major'), zeroLaws.zeroTerms],
    (linear) =>
      (y, x, ...more) =>
        linear(
          y,
          x.map((value) => (Math.abs(value) < 1e-37 ? 0 : value)),
          ...more,
        ),
  ),

  mutant(
    'linear_input_major',
    'starts from -0, which only a term makes +0',
    [...agree('linear_input_major'), zeroLaws.zeroTerms],
    (linear) => (y, x, weight, bias, inputs, T, O, I, R) => {
      linear(y, x, weight, bias, inputs, T, O, I, R)
      for (let t = 0; t < T; t++)
        if (x.subarray(t * I, (t + 1) * I).every((value) => value === 0))
          for (let o = 0; o < O; o++) y[t * O + o] = bias ? bias[o] : -0
    },
  ),

  mutant(
    'linear_input_major',
    'reads the matrix one row per output',
    [
      ...agree('linear_input_major'),
      linearLaws.isInputMajorProduct,
      linearLaws.oneStoredTwice,
      gradientLaw('linear', kernels['linear'].gradients[0]),
    ],
    () => (y, x, weight, bias, inputs, T, O, I, R) => {
      for (let t = 0; t < T; t++)
        for (let o = 0; o < O; o++) {
          let total = 0
          for (let r = 0; r < (inputs ? R : I); r++) {
            const i = inputs ? inputs[r] : r
            total = fround(total + fround(x[t * I + i] * weight[o * I + i]))
          }
          y[t * O + o] = total + (bias?.[o] ?? 0)
        }
    },
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
    'embedding_backward',
    'overwrites a row that comes twice',
    [...agree('embedding_backward'), embeddingLaws.copiesRows, ...gradients('embedding')],
    () => (table_grad, y_grad, ids, T, _, D) => {
      for (let t = 0; t < T; t++) table_grad.set(y_grad.subarray(t * D, (t + 1) * D), ids[t] * D)
    },
  ),

  mutant(
    'transpose',
    'copies',
    [...agree('transpose'), transposeLaws.movesElements],
    () => (y, x) => y.set(x),
  ),

  mutant(
    'transpose_bf16',
    'turns rows of the other length',
    [...agree('transpose_bf16'), transposeLaws.movesElements],
    (transpose) => (y, x, O, I) => transpose(y, x, I, O),
  ),

  mutant(
    'transpose_f16',
    'leaves out the last row',
    [...agree('transpose_f16'), transposeLaws.movesElements],
    (transpose) => (y, x, O, I) => {
      const whole = y.slice()
      transpose(whole, x, O, I)
      y.set(whole.map((value, n) => (n % O === O - 1 ? 0 : value)))
    },
  ),

  mutant(
    'embedding',
    'takes the row before',
    [...agree('embedding'), embeddingLaws.copiesRows],
    (embedding) => (y, table, ids, T, V, D) =>
      embedding(
        y,
        table,
        ids.map((id) => Math.max(id - 1, 0)),
        T,
        V,
        D,
      ),
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
