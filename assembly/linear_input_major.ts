/**
 * linear_input_major: y[t, o] = sum over chosen inputs i of x[t, i] * weight[i, o], + bias[o]; sequential in i.
 * linear_input_major_bf16, linear_input_major_f16: the same over weights in half precision.
 *
 * Few tokens: streams of weight rows (weighted_rows.ts), without those of inputs that are zero where that is faster
 * (nonzero.ts). Many: register tiles (outer_product.ts).
 */
import { addArrays } from './elementwise'
import { bytes, wholeQuads } from './float32'
import { listNonzero } from './nonzero'
import { addOuterProducts } from './outer_product'
import { packedLeft } from './scratch'
import { bf16, f16, prepare, storedRow } from './storage'
import { rowAt } from './units'
import { addRows, addRowsOneByOne } from './weighted_rows'

/** From this many tokens packing costs less than it saves. */
const WORTH_PACKING: i32 = WIDE ? 4 : 8
/** From this many tokens leaving out zeros is not looked into. */
const WORTH_READING: i32 = 8

/** Rows of this many numbers stand far enough apart to be read side by side. */
const FAR_APART: i32 = 1024

export function linear_input_major(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [I, O]
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  overInputs<f32>(y, x, weight, bias, inputs, T, O, I, R, 0, O)
}

/** Columns from..to of y and of the matrix. */
export function linear_input_major_part(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [I, O]
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  overInputs<f32>(y, x, weight, bias, inputs, T, O, I, R, from, to)
}

export function linear_input_major_bf16(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [I, O] bf16
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  overInputs<bf16>(y, x, weight, bias, inputs, T, O, I, R, 0, O)
}

/** Columns from..to of y and of the matrix. */
export function linear_input_major_bf16_part(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [I, O] bf16
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  overInputs<bf16>(y, x, weight, bias, inputs, T, O, I, R, from, to)
}

export function linear_input_major_f16(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [I, O] f16
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  overInputs<f16>(y, x, weight, bias, inputs, T, O, I, R, 0, O)
}

/** Columns from..to of y and of the matrix. */
export function linear_input_major_f16_part(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [I, O] f16
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  overInputs<f16>(y, x, weight, bias, inputs, T, O, I, R, from, to)
}

function overInputs<W>(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [I, O]
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  const count = inputs ? R : I
  const width = to - from
  y += bytes(from)
  weight = storedRow<W>(weight, from, 1)
  prepare<W>()
  for (let t = 0; t < T; t++) memory.fill(rowAt(y, t, O), 0, bytes(width))
  if (T > 0) {
    const size = storedRow<W>(0, width, 1)
    const kept = T < WORTH_READING ? listNonzero(packedLeft(), x, inputs, T, I, count, size) : -1
    if (kept >= 0) addRows<W>(y, weight, x, packedLeft(), T, width, O, I, kept)
    else if (T >= WORTH_PACKING) addOuterProducts<W>(y, 0, O, x, I, 1, weight, O, inputs, T, width, count)
    else if (T > 1 || inputs || O >= FAR_APART) addRows<W>(y, weight, x, inputs, T, width, O, I, count)
    else addRowsOneByOne<W>(y, weight, x, count, width, O)
  }
  if (ASC_FEATURE_RELAXED_SIMD) for (let t = 0; t < T; t++) clearSigns(rowAt(y, t, O), width)
  if (bias) {
    for (let t = 0; t < T; t++) {
      const row = rowAt(y, t, O)
      addArrays(row, row, bias + bytes(from), width)
    }
  }
}

/**
 * Makes +0 of -0. A sum of fused products may be -0, because a small product is not rounded to 0 before it is added; a term
 * of zero makes it +0 unless it is left out.
 */
function clearSigns(y: usize, width: i32): void {
  const end = y + bytes(width)
  const whole = y + wholeQuads(width)
  for (; y < whole; y += 16) v128.store(y, f32x4.add(v128.load(y), f32x4.splat(0)))
  for (; y < end; y += 4) store<f32>(y, load<f32>(y) + 0)
}
