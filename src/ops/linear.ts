/**
 * linear: a matrix stored one row per output, as PyTorch stores it. q, k, v, fc1, project_in/out and the lm_head.
 *
 *   y[t, o] = <x[t], weight[o]> + bias[o]      for chosen rows o, and +0 for the others
 *
 * Each inner product is a striped dot (float32.ts) and the bias is added last, for one token or for many: so a cached
 * step equals the full pass bit for bit. Choosing rows is how heads (in q, k, v) and neurons (in fc1) are skipped: the
 * weights of a row that is not chosen are never read.
 *
 * The gradient with respect to x is a sum of weight rows: that is linear_input_major on the same matrix.
 */
import { chosen, defineOp, input, output, size, type Op } from './op.ts'
import { dot } from './float32.ts'

const { fround } = Math

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
  const count = rows ? R : O
  if (rows) y.fill(0, 0, T * O)
  for (let t = 0; t < T; t++)
    for (let r = 0; r < count; r++) {
      const o = rows ? rows[r] : r
      const product = dot(x, t * I, weight, o * I, I)
      y[t * O + o] = bias ? fround(product + bias[o]) : product
    }
}

/** Catalogue row. */
export const linearOp: Op<Parameters<typeof linear>> = defineOp({
  name: 'linear',
  formula: 'y[t,o] = <x[t], weight[o]> + bias[o] for chosen rows o, else 0',
  params: [
    output('y', 'T O'),
    input('x', 'T I'),
    input('weight', 'O I'),
    input('bias', 'O', { optional: true }),
    chosen('rows', 'R', 'O'),
    size('T'),
    size('O'),
    size('I'),
    size('R'),
  ],
  reference: linear,
  flops: ({ T, R, I }) => 2 * T * R * I,
  bytes: ({ T, O, I, R }) => 4 * (T * O + T * I + R * I + 2 * R),
  gradients: [
    {
      of: ['x'],
      op: 'linear_input_major',
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
    {
      of: ['bias'],
      op: 'linear_backward_bias',
      bind: { bias_grad: 'bias_grad', y_grad: 'y_grad', rows: 'rows', T: 'T', O: 'O', R: 'R' },
    },
  ],
})
