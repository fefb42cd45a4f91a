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
 * The weights may be stored in half precision, and are widened then; in whole numbers they have definitions of their own
 * (linear_input_major_i8.ts and others). The gradient with respect to x is an inner product with each weight
 * row: that is linear on the same matrix.
 */
import { storedRows, type FloatStorage } from '../tensor/halves.ts'

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
