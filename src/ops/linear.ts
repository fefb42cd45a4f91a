/**
 * linear: a matrix stored one row per output, as PyTorch stores it. q, k, v, fc1, project_in/out and the lm_head.
 *
 *   y[t, o] = <x[t], weight[o]> + bias[o]      for chosen rows o, and +0 for the others
 *
 * Each inner product is a striped dot (float32.ts) and the bias is added last, for one token or for many: so a cached
 * step equals the full pass bit for bit. Choosing rows is how heads (in q, k, v) and neurons (in fc1) are skipped: the
 * weights of a row that is not chosen are never read.
 *
 * The weights may be stored in half precision, and are widened then; in int8 and int4 they have definitions of their own
 * (linear_i8.ts, linear_i4.ts). The gradient with respect to x is a sum of weight rows: that is linear_input_major on the
 * same matrix.
 */
import { dot } from './float32.ts'
import { linearI4, type linear_i4 } from './linear_i4.ts'
import { linearI8, type linear_i8 } from './linear_i8.ts'
import {
  arrayTypes,
  chosen,
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
import { chain, sequential, striped } from './relaxed.ts'
import { storedRows, type FloatStorage } from './stored_rows.ts'

const { fround } = Math

/** y = x weightᵀ + bias over chosen rows. */
export function linear(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Float32Array | Uint16Array, // [O, I]
  bias: Float32Array | null, // [O]
  rows: Int32Array | null, // [R], ascending, below O
  T: number,
  O: number,
  I: number,
  R: number,
  storage: FloatStorage = 'f32',
): void {
  const { values, open } = storedRows(weight, I, storage)
  const count = rows ? R : O
  if (rows) y.fill(0, 0, T * O)
  for (let r = 0; r < count; r++) {
    const o = rows ? rows[r] : r
    const row = open(o)
    for (let t = 0; t < T; t++) {
      const product = dot(x, t * I, values, row, I)
      y[t * O + o] = bias ? fround(product + bias[o]) : product
    }
  }
}

/** In a storage that is widened. */
function inFloats(
  storage: FloatStorage,
  more: readonly GradientRule[] = [],
): StorageDescription<Parameters<typeof linear>> {
  const width = arrayTypes[storage].BYTES_PER_ELEMENT
  return {
    formula: 'y[t,o] = <x[t], weight[o]> + bias[o] for chosen rows o, else 0',
    reference: (y, x, weight, bias, rows, T, O, I, R) =>
      linear(y, x, weight, bias, rows, T, O, I, R, storage),
    relaxed: chain(({ I }) => striped(I) + 1, 'x weight bias'),
    fast: chain(({ I }) => sequential(I) + 1, 'x weight bias'),
    flops: ({ T, R, I }) => 2 * T * R * I,
    bytes: ({ T, O, I, R }) => 4 * (T * O + T * I + 2 * R) + width * R * I,
    gradients: [
      {
        of: ['x'],
        op: kernelName('linear_input_major', storage),
        bind: {
          y: 'x_grad',
          x: 'y_grad',
          weight: 'weight',
          bias: null,
          inputs: 'rows',
          T: 'T',
          O: 'I',
          I: 'O',
          R: 'R',
        },
      },
      {
        of: ['bias'],
        op: 'linear_backward_bias',
        bind: { bias_grad: 'bias_grad', y_grad: 'y_grad', rows: 'rows', T: 'T', O: 'O', R: 'R' },
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
    y_grad: 'y_grad',
    x: 'x',
    rows: 'rows',
    T: 'T',
    O: 'O',
    I: 'I',
    R: 'R',
  },
}

/** Op definition. */
export const linearOp: Op<
  [y: Float32Array, x: Float32Array, weight: Stored, bias: Float32Array | null, rows: Int32Array | null],
  {
    f32: InStorage<typeof linear, Float32Array>
    bf16: InStorage<typeof linear, Uint16Array>
    f16: InStorage<typeof linear, Uint16Array>
    i8: typeof linear_i8
    i4: typeof linear_i4
  }
> = defineStoredOp(
  'linear',
  [
    output('y', 'T O'),
    input('x', 'T I'),
    stored(input('weight', 'O I'), input('scales', 'O', { least: 0 })),
    input('bias', 'O', { optional: true }),
    chosen('rows', 'R', 'O'),
    size('T'),
    size('O'),
    size('I'),
    size('R'),
  ],
  {
    f32: inFloats('f32', [weightGradient]),
    bf16: inFloats('bf16'),
    f16: inFloats('f16'),
    i8: linearI8,
    i4: linearI4,
  },
)
