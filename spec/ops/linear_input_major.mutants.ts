/**
 * Bugs planted in the operations of src/ops/linear_input_major.ts.
 */
import { kernels } from '../../src/ops/catalog.ts'
import { othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import { gradientLaw } from '../../src/verify/ops/gradients.ts'
import * as halfLaws from '../../src/verify/ops/half_precision.ts'
import * as linearLaws from '../../src/verify/ops/linear.ts'
import { tokensApart } from '../../src/verify/ops/tokens.ts'
import * as zeroLaws from '../../src/verify/ops/zero_terms.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'
import { flushF16, truncateBf16 } from './narrow.mutants.ts'

const { fround } = Math

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
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
    'linear_input_major_bf16',
    'drops the last bit of its weights',
    [...agree('linear_input_major_bf16'), halfLaws.linearInputMajorBf16],
    (linear) => (y, x, weight, bias, inputs, T, O, I, R) =>
      linear(y, x, truncateBf16(weight), bias, inputs, T, O, I, R),
  ),

  mutant(
    'linear_input_major_f16',
    'takes subnormal weights for zeros',
    [...agree('linear_input_major_f16'), halfLaws.linearInputMajorF16],
    (linear) => (y, x, weight, bias, inputs, T, O, I, R) =>
      linear(y, x, flushF16(weight), bias, inputs, T, O, I, R),
  ),

  mutant(
    'linear_input_major_bf16',
    'reads the matrix one row per output',
    [...agree('linear_input_major_bf16'), halfLaws.linearInputMajorBf16, gradients('linear_bf16')[0]],
    (linear) => (y, x, weight, bias, inputs, T, O, I, R) => {
      const wrong = weight.map((_, n) => weight[(n % O) * I + Math.floor(n / O)])
      linear(y, x, wrong, bias, inputs, T, O, I, R)
    },
  ),

  mutant(
    'linear_input_major_bf16',
    'leaves out the last input that is not zero, where another is zero',
    [zeroLaws.zeroTermsBf16],
    (linear) => (y, x, weight, bias, inputs, T, O, I, R) => {
      const isZero = (i: number): boolean =>
        Array.from({ length: T }, (_, t) => x[t * I + i]).every((value) => value === 0)
      const all = inputs ? inputs.subarray(0, R) : Int32Array.from({ length: I }, (_, i) => i)
      const listed = all.filter((i) => !isZero(i))
      const kept = listed.length < all.length ? listed.slice(0, -1) : all
      linear(y, x, weight, bias, kept, T, O, I, kept.length)
    },
  ),

  mutant(
    'linear_input_major_f16',
    'leaves out inputs that are zero for its first token',
    [...agree('linear_input_major_f16'), zeroLaws.zeroTermsF16, tokensApart('linear_input_major_f16')],
    (linear) => (y, x, weight, bias, inputs, T, O, I, R) => {
      const all = inputs ? inputs.subarray(0, R) : Int32Array.from({ length: I }, (_, i) => i)
      const kept = all.filter((i) => x[i] !== 0)
      linear(y, x, weight, bias, kept, T, O, I, kept.length)
    },
  ),
]
