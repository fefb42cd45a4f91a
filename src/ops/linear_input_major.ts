/**
 * linear_input_major: a matrix stored one row per input. out_proj (a row per head channel) and fc2 (a row per neuron).
 *
 *   y[t, o] = sum over chosen inputs i of x[t, i] * weight[i, o]   + bias[o]
 *
 * The sum is sequential in i, starting at +0, and the bias is added last. An input that is not chosen is an absent
 * term, which is the same number as a term of zero: skipping a unit equals zeroing its activation, exactly. Its
 * weights are never read. A list need not be ascending: terms are added in its order, so that rows may stand in any
 * order and the sum still be that of the order wanted.
 *
 * The weights may be stored in half precision: linear_input_major_bf16, linear_input_major_f16. The gradient with respect
 * to x is an inner product with each weight row: that is linear on the same matrix.
 */
import {
  arrayTypes,
  chosenTerms,
  defineOp,
  input,
  output,
  size,
  type Dtype,
  type GradientRule,
  type Op,
} from './op.ts'
import { chain, sequential } from './relaxed.ts'
import { bf16Rows, f16Rows, f32Rows, type StoredRows } from './stored_rows.ts'

const { fround } = Math

function overInputs(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: StoredRows, // [I, O]
  bias: Float32Array | null, // [O]
  inputs: Int32Array | null, // [R], below I, in the order of the sum
  T: number,
  O: number,
  I: number,
  R: number,
): void {
  const count = inputs ? R : I
  const { values } = weight
  y.fill(0, 0, T * O)
  for (let r = 0; r < count; r++) {
    const i = inputs ? inputs[r] : r
    const row = weight.open(i)
    for (let t = 0; t < T; t++) {
      const factor = x[t * I + i]
      for (let o = 0; o < O; o++) y[t * O + o] += fround(factor * values[row + o])
    }
  }
  if (bias) for (let t = 0; t < T; t++) for (let o = 0; o < O; o++) y[t * O + o] += bias[o]
}

/** y = x weight + bias over chosen inputs. */
export function linear_input_major(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Float32Array, // [I, O]
  bias: Float32Array | null, // [O]
  inputs: Int32Array | null, // [R], below I, in the order of the sum
  T: number,
  O: number,
  I: number,
  R: number,
): void {
  overInputs(y, x, f32Rows(weight, O), bias, inputs, T, O, I, R)
}

/** `linear_input_major` on the widened weights. */
export function linear_input_major_bf16(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Uint16Array, // [I, O], bf16
  bias: Float32Array | null, // [O]
  inputs: Int32Array | null, // [R], below I, in the order of the sum
  T: number,
  O: number,
  I: number,
  R: number,
): void {
  overInputs(y, x, bf16Rows(weight, O), bias, inputs, T, O, I, R)
}

/** `linear_input_major` on the widened weights. */
export function linear_input_major_f16(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Uint16Array, // [I, O], f16
  bias: Float32Array | null, // [O]
  inputs: Int32Array | null, // [R], below I, in the order of the sum
  T: number,
  O: number,
  I: number,
  R: number,
): void {
  overInputs(y, x, f16Rows(weight, O), bias, inputs, T, O, I, R)
}

function rowOf<Args extends readonly unknown[]>(
  name: string,
  /** linear over the same storage. */
  transposed: string,
  dtype: Dtype,
  reference: (...args: Args) => void,
  more: readonly GradientRule[] = [],
): Op<Args> {
  const width = arrayTypes[dtype].BYTES_PER_ELEMENT
  return defineOp({
    name,
    formula: 'y[t,o] = sum over chosen inputs i of x[t,i] weight[i,o], + bias[o]',
    params: [
      output('y', 'T O'),
      input('x', 'T I'),
      input('weight', 'I O', { dtype }),
      input('bias', 'O', { optional: true }),
      chosenTerms('inputs', 'R', 'I'),
      size('T'),
      size('O'),
      size('I'),
      size('R'),
    ],
    reference,
    relaxed: chain(({ I }) => sequential(I) + 1, 'x weight bias'),
    fast: chain(({ I }) => sequential(I) + 1, 'x weight bias'),
    flops: ({ T, R, O }) => 2 * T * R * O,
    bytes: ({ T, O, R }) => 4 * (T * O + T * R + O + R) + width * R * O,
    gradients: [
      {
        of: ['x'],
        op: transposed,
        bind: {
          y: 'x_grad',
          x: 'y_grad',
          weight: 'weight',
          bias: null,
          rows: 'inputs',
          T: 'T',
          O: 'I',
          I: 'O',
          R: 'R',
        },
      },
      {
        of: ['bias'],
        op: 'linear_backward_bias',
        bind: { bias_grad: 'bias_grad', y_grad: 'y_grad', rows: null, T: 'T', O: 'O', R: 'O' },
      },
      ...more,
    ],
  })
}

/** Catalogue row. */
export const linearInputMajorOp: Op<Parameters<typeof linear_input_major>> = rowOf(
  'linear_input_major',
  'linear',
  'f32',
  linear_input_major,
  [
    {
      of: ['weight'],
      op: 'linear_backward_weight',
      bind: {
        weight_grad: 'weight_grad',
        y_grad: 'x',
        x: 'y_grad',
        rows: 'inputs',
        T: 'T',
        O: 'I',
        I: 'O',
        R: 'R',
      },
    },
  ],
)

/** Catalogue row. */
export const linearInputMajorBf16Op: Op<Parameters<typeof linear_input_major_bf16>> = rowOf(
  'linear_input_major_bf16',
  'linear_bf16',
  'bf16',
  linear_input_major_bf16,
)

/** Catalogue row. */
export const linearInputMajorF16Op: Op<Parameters<typeof linear_input_major_f16>> = rowOf(
  'linear_input_major_f16',
  'linear_f16',
  'f16',
  linear_input_major_f16,
)
