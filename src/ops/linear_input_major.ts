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
 * An input of zero is an absent term too. Its product with a finite weight is +0 or -0, and a sum that starts at +0 is
 * never -0, so adding the product changes no bit. Kernels may therefore leave out the rows of inputs that are zero: after
 * ReLU those are most of fc2. Weights have to be finite for this; what loads them refuses others.
 *
 * The weights may be stored in half precision, and are widened then; in int8 and int4 they have definitions of their own
 * (linear_input_major_i8.ts, linear_input_major_i4.ts). The gradient with respect to x is an inner product with each weight
 * row: that is linear on the same matrix.
 */
import { linearInputMajorI4, type linear_input_major_i4 } from './linear_input_major_i4.ts'
import { linearInputMajorI8, type linear_input_major_i8 } from './linear_input_major_i8.ts'
import {
  arrayTypes,
  chosenTerms,
  defineStoredOp,
  input,
  kernelName,
  output,
  size,
  stored,
  type GradientRule,
  type InStorage,
  type Op,
  type StorageDescription,
  type Stored,
} from './op.ts'
import { chain, sequential } from './relaxed.ts'
import { storedRows, type FloatStorage } from './stored_rows.ts'

const { fround } = Math

/** y = x weight + bias over chosen inputs. */
export function linear_input_major(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Float32Array | Uint16Array, // [I, O]
  bias: Float32Array | null, // [O]
  inputs: Int32Array | null, // [R], below I, in the order of the sum
  T: number,
  O: number,
  I: number,
  R: number,
  storage: FloatStorage = 'f32',
): void {
  const { values, open } = storedRows(weight, O, storage)
  const count = inputs ? R : I
  y.fill(0, 0, T * O)
  for (let r = 0; r < count; r++) {
    const i = inputs ? inputs[r] : r
    const row = open(i)
    for (let t = 0; t < T; t++) {
      const factor = x[t * I + i]
      for (let o = 0; o < O; o++) y[t * O + o] += fround(factor * values[row + o])
    }
  }
  if (bias) for (let t = 0; t < T; t++) for (let o = 0; o < O; o++) y[t * O + o] += bias[o]
}

/** In a storage that is widened. */
function inFloats(
  storage: FloatStorage,
  more: readonly GradientRule[] = [],
): StorageDescription<Parameters<typeof linear_input_major>> {
  const width = arrayTypes[storage].BYTES_PER_ELEMENT
  return {
    formula: 'y[t,o] = sum over chosen inputs i of x[t,i] weight[i,o], + bias[o]',
    reference: (y, x, weight, bias, inputs, T, O, I, R) =>
      linear_input_major(y, x, weight, bias, inputs, T, O, I, R, storage),
    relaxed: chain(({ I }) => sequential(I) + 1, 'x weight bias'),
    fast: chain(({ I }) => sequential(I) + 1, 'x weight bias'),
    flops: ({ T, R, O }) => 2 * T * R * O,
    bytes: ({ T, O, R }) => 4 * (T * O + T * R + O + R) + width * R * O,
    gradients: [
      {
        of: ['x'],
        op: kernelName('linear', storage),
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
  }
}

/** Weights learn in float32 only. */
const weightGradient: GradientRule = {
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
}

/** Op definition. */
export const linearInputMajorOp: Op<
  [y: Float32Array, x: Float32Array, weight: Stored, bias: Float32Array | null, inputs: Int32Array | null],
  {
    f32: InStorage<typeof linear_input_major, Float32Array>
    bf16: InStorage<typeof linear_input_major, Uint16Array>
    f16: InStorage<typeof linear_input_major, Uint16Array>
    i8: typeof linear_input_major_i8
    i4: typeof linear_input_major_i4
  }
> = defineStoredOp(
  'linear_input_major',
  [
    output('y', 'T O'),
    input('x', 'T I'),
    stored(input('weight', 'I O', { finite: true }), input('scales', 'I', { least: 0, finite: true })),
    input('bias', 'O', { optional: true }),
    chosenTerms('inputs', 'R', 'I'),
    size('T'),
    size('O'),
    size('I'),
    size('R'),
  ],
  {
    f32: inFloats('f32', [weightGradient]),
    bf16: inFloats('bf16'),
    f16: inFloats('f16'),
    i8: linearInputMajorI8,
    i4: linearInputMajorI4,
  },
)
