/**
 * linear_input_major_i8: linear_input_major on int8 weights, with a scale for each row.
 *
 *   f[t, i] = x[t, i] * scales[i]      q[t] = f[t] rounded to int16 over the chosen inputs (quantized_steps.ts)
 *   y[t, o] = step[t] * sum over chosen inputs i of q[t, i] * weight[i, o]   + bias[o]
 *
 * The sum is exact; it is rounded to float32 once, its product with the step too, and the bias (+0 if there is none) is
 * added last. An input of zero changes neither the step nor the sum: skipping a unit equals zeroing its activation,
 * exactly, because its scale is finite. Kernels may leave out the rows of inputs that are zero.
 *
 * It has no gradient: rounding is flat almost everywhere.
 */
import { quantizeSteps } from './quantized_steps.ts'

const { fround } = Math

/** y = x weight + bias over chosen inputs, the weights being scales * int8. */
export function linear_input_major_i8(
  y: Float32Array, // [T, O]
  x: Float32Array, // [T, I]
  weight: Int8Array, // [I, O]
  scales: Float32Array, // [I]
  bias: Float32Array | null, // [O]
  inputs: Int32Array | null, // [R], below I
  T: number,
  O: number,
  I: number,
  R: number,
): void {
  const count = inputs ? R : I
  const factors = new Float32Array(count)
  const q = new Int16Array(count)
  const sums = new Int32Array(O)
  for (let t = 0; t < T; t++) {
    for (let r = 0; r < count; r++) {
      const i = inputs ? inputs[r] : r
      factors[r] = x[t * I + i] * scales[i]
    }
    const step = quantizeSteps(q, factors)
    sums.fill(0)
    for (let r = 0; r < count; r++) {
      const i = inputs ? inputs[r] : r
      for (let o = 0; o < O; o++) sums[o] += q[r] * weight[i * O + o]
    }
    for (let o = 0; o < O; o++) y[t * O + o] = fround(step * fround(sums[o])) + (bias ? bias[o] : 0)
  }
}
