/**
 * Bugs planted in what stores weights as bf16, f16 and int8, and in what multiplies with them.
 */
import { linear_i8 } from '../../src/ops/linear_i8.ts'
import { nearestStep } from '../../src/tensor/dtypes.ts'
import * as halfLaws from '../../src/verify/ops/half_precision.ts'
import * as int8Laws from '../../src/verify/ops/int8_product.ts'
import * as copyRowsLaws from '../../src/verify/ops/copy_rows.ts'
import * as storedLaws from '../../src/verify/ops/stored_weights.ts'
import * as zeroLaws from '../../src/verify/ops/zero_terms.ts'
import { allIsDense, chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import { tokensApart } from '../../src/verify/ops/tokens.ts'
import type { Definition } from '../harness/mutate.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

const { abs, fround, max, min } = Math

/** The patterns with some of them replaced: weights read wrongly. */
const truncateBf16 = (w: Uint16Array): Uint16Array => w.map((pattern) => pattern & 0xfffe)
const flushF16 = (w: Uint16Array): Uint16Array =>
  w.map((pattern) => (pattern & 0x7c00 ? pattern : pattern & 0x8000))

/** What a wrong linear_i8 does otherwise. */
interface Rounding {
  readonly levels?: (x: Float32Array) => number
  readonly nearest?: typeof nearestStep
  readonly sum?: (products: readonly number[]) => number
}

const termsOf = (x: Float32Array): number => x.filter((value) => value !== 0).length

/** linear_i8 from its parts, some of them replaced. */
function linearI8With({ levels, nearest = nearestStep, sum }: Rounding): Definition<'linear_i8'> {
  const levelsOf = levels ?? ((x) => min(32767, Math.floor((2 ** 31 - 1) / (127 * termsOf(x)))))
  const total = sum ?? ((products) => products.reduce((all, product) => all + product, 0))
  return (y, x, weight, scales, bias, rows, T, O, I, R) => {
    y.fill(0)
    for (let t = 0; t < T; t++) {
      const token = x.subarray(t * I, (t + 1) * I)
      const step = fround(token.reduce((most, value) => max(most, abs(value)), 0) / levelsOf(token))
      const q = Array.from(token, (value) => nearest(value, step, levelsOf(token)) || 0)
      for (let r = 0; r < (rows ? R : O); r++) {
        const o = rows ? rows[r] : r
        const products = q.map((steps, i) => steps * weight[o * I + i])
        y[t * O + o] = fround(fround(step * scales[o]) * fround(total(products))) + (bias?.[o] ?? 0)
      }
    }
  }
}

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

const halfMutants: readonly Mutant[] = [
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
    (linear) => (y, x, weight, bias, inputs, T, O, I, R) =>
      linear(
        y,
        x,
        weight.map((_, n) => weight[(n % O) * I + Math.floor(n / O)]),
        bias,
        inputs,
        T,
        O,
        I,
        R,
      ),
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

  mutant(
    'embedding_bf16',
    'takes the row before',
    [...agree('embedding_bf16'), halfLaws.embeddingBf16],
    (embedding) => (y, table, ids, T, V, D) =>
      embedding(
        y,
        table,
        ids.map((id) => max(id - 1, 0)),
        T,
        V,
        D,
      ),
  ),

  mutant(
    'embedding_f16',
    'takes subnormal numbers for zeros',
    [...agree('embedding_f16'), halfLaws.embeddingF16],
    (embedding) => (y, table, ids, T, V, D) => embedding(y, flushF16(table), ids, T, V, D),
  ),
]

const roundsDown: typeof nearestStep = (x, step, most) => max(-most, min(most, Math.floor(fround(x / step))))
const wraps = (products: readonly number[]): number =>
  products.reduce((all, product) => (all + product) | 0, 0)

const int8Mutants: readonly Mutant[] = [
  mutant('linear_i8', 'rounds steps down', [...agree('linear_i8'), int8Laws.linearIsProduct], () =>
    linearI8With({ nearest: roundsDown }),
  ),

  mutant(
    'linear_i8',
    'takes as many levels as 16 bits hold, however many terms there are',
    [int8Laws.linearIsLarge],
    () => linearI8With({ levels: () => 32767, sum: wraps }),
  ),

  mutant('linear_i8', 'counts zeros as terms', [int8Laws.linearZeros], () =>
    linearI8With({ levels: (x) => min(32767, Math.floor((2 ** 31 - 1) / (127 * x.length))) }),
  ),

  mutant('linear_i8', 'rounds its sum after every product', [int8Laws.linearIsExact], () =>
    linearI8With({ sum: (products) => products.reduce((all, product) => fround(all + product), 0) }),
  ),

  mutant('linear_i8', 'takes NaN for zero', [...agree('linear_i8'), int8Laws.linearIsPlain], (linear) =>
    linearOfNumbers(linear),
  ),

  mutant(
    'linear_i8',
    'takes one step for all tokens',
    [...agree('linear_i8'), tokensApart('linear_i8')],
    (linear) => (y, x, weight, scales, bias, rows, T, O, I, R) => {
      // A number of the largest size beside each token's, met with a weight of 0.
      const [J, most] = [I + 1, x.reduce((most, value) => max(most, abs(value)), 0)]
      const wide = Float32Array.from({ length: T * J }, (_, n) =>
        n % J === I ? most : x[Math.floor(n / J) * I + (n % J)],
      )
      const wideWeight = Int8Array.from({ length: O * J }, (_, n) =>
        n % J === I ? 0 : weight[Math.floor(n / J) * I + (n % J)],
      )
      linear(y, wide, wideWeight, scales, bias, rows, T, O, J, R)
    },
  ),

  mutant(
    'linear_i8',
    'takes the scale of the place in the list',
    [...agree('linear_i8'), chosenIsZeroed('linear_i8'), othersAreUnseen('linear_i8')],
    (linear) => (y, x, weight, scales, bias, rows, T, O, I, R) => {
      const moved = scales.slice()
      rows?.forEach((o, r) => (moved[o] = scales[r]))
      linear(y, x, weight, moved, bias, rows, T, O, I, R)
    },
  ),

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

/** linear_i8 that does not see NaN. */
function linearOfNumbers(linear: Definition<'linear_i8'>): Definition<'linear_i8'> {
  return (y, x, ...more) =>
    linear(
      y,
      x.map((value) => (value === value ? value : 0)),
      ...more,
    )
}

const makerMutants: readonly Mutant[] = [
  mutant('narrow_bf16', 'cuts off', [...agree('narrow_bf16'), storedLaws.narrowsToBf16], () => (y, x, N) => {
    const bits = new Uint32Array(x.buffer, x.byteOffset, N)
    for (let n = 0; n < N; n++) y[n] = bits[n] >>> 16
  }),

  mutant('narrow_f16', 'knows no subnormal numbers', [storedLaws.narrowsToF16], (narrow) => (y, x, N) => {
    narrow(y, x, N)
    y.set(flushF16(y))
  }),

  mutant(
    'quantize_rows',
    'divides by 128',
    [...agree('quantize_rows'), storedLaws.quantizes],
    (quantize) => (y, scales, x, O, I) => {
      quantize(y, scales, x, O, I)
      scales.set(scales.map((scale) => (scale * 127) / 128))
    },
  ),

  mutant(
    'embedding_i8',
    'takes the scale of the token for that of the row',
    [...agree('embedding_i8'), storedLaws.embedsInt8],
    (embedding) => (y, table, scales, ids, T, V, D) => {
      const moved = scales.slice()
      ids.forEach((id, t) => (moved[id] = scales[t % V]))
      embedding(y, table, moved, ids, T, V, D)
    },
  ),

  ...(
    [
      ['copy_rows', copyRowsLaws.movesF32],
      ['copy_rows_bf16', copyRowsLaws.movesBf16],
      ['copy_rows_f16', copyRowsLaws.movesF16],
      ['copy_rows_i8', copyRowsLaws.movesInt8],
    ] as const
  ).map(([name, law]) =>
    mutant(name, 'forgets the slots', [...agree(name), law], (right) => {
      const copy = right as (...args: unknown[]) => void
      return ((y: unknown, x: unknown, _: unknown, ...more: unknown[]) =>
        copy(y, x, null, ...more)) as typeof right
    }),
  ),
]

/** The mutants of this page. */
export const storedMutants: readonly Mutant[] = [...halfMutants, ...int8Mutants, ...makerMutants]
