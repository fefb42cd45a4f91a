/**
 * linear_i8: linear on int8 weights, with a scale for each row, and activations rounded to int16 (quantized_steps.ts).
 *
 *   y[t, o] = (step[t] * scales[o]) * sum over i of q[t, i] * weight[o, i]   + bias[o]      for chosen rows o, else +0
 *
 * The sum is exact; it is rounded to float32 once, each product is rounded, and the bias (+0 if there is none) is added
 * last. One step serves a token: its q are those of all its inputs.
 *
 * It has no gradient: rounding is flat almost everywhere.
 */
import { integerDot, quantizeSteps } from './quantized_steps.ts'

const { fround } = Math

/** y = x weightᵀ + bias over chosen rows, the weights being scales * int8. */
export function linear_i8(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Int8Array, // [O, I]
  scales: Float32Array, // [O]
  bias: Float32Array | null, // [O]
  rows: Int32Array | null, // [R], ascending, below O
  T: number,
  O: number,
  I: number,
  R: number,
): void {
  const count = rows ? R : O
  const q = new Int16Array(I)
  if (rows) y.fill(0, 0, T * O)
  for (let t = 0; t < T; t++) {
    const step = quantizeSteps(q, x.subarray(t * I, (t + 1) * I))
    for (let r = 0; r < count; r++) {
      const o = rows ? rows[r] : r
      const sum = integerDot(q, weight.subarray(o * I, (o + 1) * I))
      y[t * O + o] = fround(fround(step * scales[o]) * fround(sum)) + (bias ? bias[o] : 0)
    }
  }
}
