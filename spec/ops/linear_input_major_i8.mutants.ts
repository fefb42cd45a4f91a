/**
 * Bugs planted in the operations of src/ops/linear_input_major_i8.ts.
 */
import { linear_i8 } from '../../src/ops/linear_i8.ts'
import { allIsDense, chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import * as int8Laws from '../../src/verify/ops/int8_product.ts'
import * as zeroLaws from '../../src/verify/ops/zero_terms.ts'
import type { Definition } from '../harness/mutate.ts'
import { linearI8With, linearOfNumbers, roundsDown, wraps } from './linear_i8.mutants.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

const { fround, min } = Math

/** linear_input_major_i8 as linear_i8 over its scaled inputs: what is wrong with that is wrong with this. */
function inputMajorI8With(
  linear: Definition<'linear_i8'>,
  scale = (value: number, of: number): number => value * of,
): Definition<'linear_input_major_i8'> {
  return (y, x, weight, scales, bias, inputs, T, O, I, R) => {
    const kept = inputs ? inputs.subarray(0, R) : Int32Array.from({ length: I }, (_, i) => i)
    const K = kept.length
    const factors = Float32Array.from({ length: T * K }, (_, n) => {
      const i = kept[n % K]
      return scale(x[Math.floor(n / K) * I + i], scales[i])
    })
    const columns = Int8Array.from({ length: O * K }, (_, n) => weight[kept[n % K] * O + Math.floor(n / K)])
    linear(y, factors, columns, new Float32Array(O).fill(1), bias, null, T, O, K, 0)
  }
}

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'linear_input_major_i8',
    'rounds steps down',
    [...agree('linear_input_major_i8'), int8Laws.inputMajorIsProduct],
    () => inputMajorI8With(linearI8With({ nearest: roundsDown })),
  ),

  mutant(
    'linear_input_major_i8',
    'takes as many levels as 16 bits hold, however many terms there are',
    [int8Laws.inputMajorIsLarge],
    () => inputMajorI8With(linearI8With({ levels: () => 32767, sum: wraps })),
  ),

  mutant('linear_input_major_i8', 'counts zeros as terms', [zeroLaws.zeroTermsI8], () =>
    inputMajorI8With(
      linearI8With({ levels: (x) => min(32767, Math.floor((2 ** 31 - 1) / (127 * x.length))) }),
    ),
  ),

  mutant('linear_input_major_i8', 'rounds its sum after every product', [int8Laws.inputMajorIsExact], () =>
    inputMajorI8With(
      linearI8With({ sum: (products) => products.reduce((all, product) => fround(all + product), 0) }),
    ),
  ),

  mutant(
    'linear_input_major_i8',
    'takes NaN for zero',
    [...agree('linear_input_major_i8'), int8Laws.inputMajorIsPlain],
    () => inputMajorI8With(linearOfNumbers(linear_i8)),
  ),

  mutant(
    'linear_input_major_i8',
    'forgets the scales',
    [...agree('linear_input_major_i8'), int8Laws.inputMajorIsProduct],
    () => inputMajorI8With(linear_i8, (value) => value),
  ),

  mutant(
    'linear_input_major_i8',
    'takes its step from all inputs, chosen or not',
    [
      ...agree('linear_input_major_i8'),
      chosenIsZeroed('linear_input_major_i8'),
      othersAreUnseen('linear_input_major_i8'),
    ],
    () => (y, x, weight, scales, bias, inputs, T, O, I, R) => {
      const chosen = new Set(inputs ? inputs.subarray(0, R) : Array.from({ length: I }, (_, i) => i))
      const kept = weight.map((value, n) => (chosen.has(Math.floor(n / O)) ? value : 0))
      inputMajorI8With(linear_i8)(y, x, kept, scales, bias, null, T, O, I, 0)
    },
  ),

  mutant(
    'linear_input_major_i8',
    'adds the bias twice where there is a list',
    [allIsDense('linear_input_major_i8')],
    (linear) => (y, x, weight, scales, bias, inputs, T, O, I, R) => {
      linear(y, x, weight, scales, bias, inputs, T, O, I, R)
      if (inputs && bias) y.set(y.map((value, n) => value + bias[n % O]))
    },
  ),
]
