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
