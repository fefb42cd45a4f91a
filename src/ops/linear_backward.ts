/**
 * linear_backward_weight and linear_backward_bias: what a linear layer's parameters receive.
 *
 *   weight_grad[o, i] += sum over t of y_grad[t, o] * x[t, i]
 *   bias_grad[o]      += sum over t of y_grad[t, o]            for chosen rows o
 *
 * Sequential in t, added straight onto what is there. The same op serves input-major matrices with the roles of x and
 * y_grad exchanged. Rows that were not chosen receive nothing.
 */

const { fround } = Math

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
