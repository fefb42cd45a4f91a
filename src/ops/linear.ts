/**
 * linear: a matrix stored one row per output, as PyTorch stores it. q, k, v, fc1, project_in/out and the lm_head.
 *
 *   y[t, o] = <x[t], weight[o]> + bias[o]      for chosen rows o, and +0 for the others
 *
 * Each inner product is a striped dot (float32.ts) and the bias is added last, for one token or for many: so a cached
 * step equals the full pass bit for bit. Choosing rows is how heads (in q, k, v) and neurons (in fc1) are skipped: the
 * weights of a row that is not chosen are never read.
 *
 * The weights may be stored in half precision, and are widened then; in whole numbers they have definitions of their own
 * (linear_i8.ts and others). The gradient with respect to x is a sum of weight rows: that is linear_input_major on the
 * same matrix.
 *
 * linear_backward_weight and linear_backward_bias: what a linear layer's parameters receive.
 *
 *   weight_grad[o, i] += sum over t of y_grad[t, o] * x[t, i]
 *   bias_grad[o]      += sum over t of y_grad[t, o]            for chosen rows o
 *
 * Sequential in t, added straight onto what is there. The same op serves input-major matrices with the roles of x and
 * y_grad exchanged. Rows that were not chosen receive nothing.
 */
import { dot } from './float32.ts'
import { storedRows, type FloatStorage } from '../tensor/halves.ts'

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

/** weight_grad += y_gradᵀ x over chosen rows. */
export function linear_backward_weight(
  weight_grad: Float32Array, // [O, I]
  y_grad: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  rows: Int32Array | null, // [R], ascending, below O
  T: number,
  O: number,
  I: number,
  R: number,
): void {
  const count = rows ? R : O
  for (let r = 0; r < count; r++) {
    const o = rows ? rows[r] : r
    for (let t = 0; t < T; t++) {
      const factor = y_grad[t * O + o]
      for (let i = 0; i < I; i++) weight_grad[o * I + i] += fround(factor * x[t * I + i])
    }
  }
}

/** bias_grad += the sum of y_grad over tokens, over chosen rows. */
export function linear_backward_bias(
  bias_grad: Float32Array, // [O]
  y_grad: Float32Array, // [T, O]
  rows: Int32Array | null, // [R], ascending, below O
  T: number,
  O: number,
  R: number,
): void {
  const count = rows ? R : O
  for (let t = 0; t < T; t++)
    for (let r = 0; r < count; r++) {
      const o = rows ? rows[r] : r
      bias_grad[o] += y_grad[t * O + o]
    }
}
