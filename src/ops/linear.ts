/**
 * linear: a matrix stored one row per output, as PyTorch stores it. q, k, v, fc1, project_in/out and the lm_head.
 *
 *   y[t, o] = <x[t], weight[o]> + bias[o]      for chosen rows o, and +0 for the others
 *
 * Each inner product is a striped dot (float32.ts) and the bias is added last, for one token or for many: so a cached
 * step equals the full pass bit for bit. Choosing rows is how heads (in q, k, v) and neurons (in fc1) are skipped: the
 * weights of a row that is not chosen are never read.
 *
 * The weights may be stored in half precision: linear_bf16, linear_f16. The gradient with respect to x is a sum of weight
 * rows: that is linear_input_major on the same matrix.
 */
import {
  arrayTypes,
  chosen,
  defineOp,
  input,
  output,
  size,
  type Dtype,
  type GradientRule,
  type Op,
} from './op.ts'
import { dot } from './float32.ts'
import { chain, sequential, striped } from './relaxed.ts'
import { bf16Rows, f16Rows, f32Rows, type StoredRows } from './stored_rows.ts'

const { fround } = Math

function overRows(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: StoredRows, // [O, I]
  bias: Float32Array | null, // [O]
  rows: Int32Array | null, // [R], ascending, below O
  T: number,
  O: number,
  I: number,
  R: number,
): void {
  const count = rows ? R : O
  if (rows) y.fill(0, 0, T * O)
  for (let r = 0; r < count; r++) {
    const o = rows ? rows[r] : r
    const row = weight.open(o)
    for (let t = 0; t < T; t++) {
      const product = dot(x, t * I, weight.values, row, I)
      y[t * O + o] = bias ? fround(product + bias[o]) : product
    }
  }
}

/** y = x weightᵀ + bias over chosen rows. */
export function linear(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Float32Array, // [O, I]
  bias: Float32Array | null, // [O]
  rows: Int32Array | null, // [R], ascending, below O
  T: number,
  O: number,
  I: number,
  R: number,
): void {
  overRows(y, x, f32Rows(weight, I), bias, rows, T, O, I, R)
}

/** `linear` on the widened weights. */
export function linear_bf16(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Uint16Array, // [O, I], bf16
  bias: Float32Array | null, // [O]
  rows: Int32Array | null, // [R], ascending, below O
  T: number,
  O: number,
  I: number,
  R: number,
): void {
  overRows(y, x, bf16Rows(weight, I), bias, rows, T, O, I, R)
}

/** `linear` on the widened weights. */
export function linear_f16(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Uint16Array, // [O, I], f16
  bias: Float32Array | null, // [O]
  rows: Int32Array | null, // [R], ascending, below O
  T: number,
  O: number,
  I: number,
  R: number,
): void {
  overRows(y, x, f16Rows(weight, I), bias, rows, T, O, I, R)
}

function rowOf<Args extends readonly unknown[]>(
  name: string,
  /** linear_input_major over the same storage. */
  transposed: string,
  dtype: Dtype,
  reference: (...args: Args) => void,
  more: readonly GradientRule[] = [],
): Op<Args> {
  const width = arrayTypes[dtype].BYTES_PER_ELEMENT
  return defineOp({
    name,
    formula: 'y[t,o] = <x[t], weight[o]> + bias[o] for chosen rows o, else 0',
    params: [
      output('y', 'T O'),
      input('x', 'T I'),
      input('weight', 'O I', { dtype }),
      input('bias', 'O', { optional: true }),
      chosen('rows', 'R', 'O'),
      size('T'),
      size('O'),
      size('I'),
      size('R'),
    ],
    reference,
    relaxed: chain(({ I }) => striped(I) + 1, 'x weight bias'),
    fast: chain(({ I }) => sequential(I) + 1, 'x weight bias'),
    flops: ({ T, R, I }) => 2 * T * R * I,
    bytes: ({ T, O, I, R }) => 4 * (T * O + T * I + 2 * R) + width * R * I,
    gradients: [
      {
        of: ['x'],
        op: transposed,
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
  })
}

/** Catalogue row. */
export const linearOp: Op<Parameters<typeof linear>> = rowOf('linear', 'linear_input_major', 'f32', linear, [
  {
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
  },
])

/** Catalogue row. */
export const linearBf16Op: Op<Parameters<typeof linear_bf16>> = rowOf(
  'linear_bf16',
  'linear_input_major_bf16',
  'bf16',
  linear_bf16,
)

/** Catalogue row. */
export const linearF16Op: Op<Parameters<typeof linear_f16>> = rowOf(
  'linear_f16',
  'linear_input_major_f16',
  'f16',
  linear_f16,
)
