/**
 * linear_input_major_i8: y[t, o] = step[t] (sum over chosen inputs i of q[t, i] weight[i, o]) + bias[o], where q[t] are the
 * chosen x[t, i] scales[i] in steps.
 *
 * The sums are exact, so the inputs are read in the fastest order. They are summed in y as integers and scaled at the
 * end. Few tokens: four rows at a time, from four places of the matrix, without those of inputs that are zero where that
 * is faster (nonzero.ts). Many: register tiles (outer_product.ts).
 */
import { bytes, wholeQuads } from './float32'
import { lowerBytes, multiplyPairs, upperBytes } from './int16_pairs'
import { listNonzero } from './nonzero'
import { addOuterProducts } from './outer_product'
import { quantizeSteps } from './quantized_steps'
import { packedLeft, packedRight, quantized, rowAddresses, rowFactors, tokenSteps } from './scratch'
import { storedRow } from './storage'
import { rowAt, unitAt } from './units'

/** From this many tokens packing costs less than it saves. */
const WORTH_PACKING: i32 = WIDE ? 4 : 16
/** From this many tokens leaving out zeros is not looked into. */
const WORTH_READING: i32 = 16

/** Rounded numbers of a block of tokens, at most. */
const BLOCK: i32 = 524288
/** At most this many tokens. */
const MOST_TOKENS: i32 = 64

/** Columns of a group of rows that stay in a first-level cache while several tokens use them. */
const CHUNK: i32 = 1024

export function linear_input_major_i8(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [I, O] i8
  scales: usize, // [I]
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  linear_input_major_i8_part(y, x, weight, scales, bias, inputs, T, O, I, R, 0, O)
}

/** Columns from..to of y and of the matrix. */
export function linear_input_major_i8_part(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [I, O] i8
  scales: usize, // [I]
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  const width = to - from
  let count = inputs ? R : I
  const kept = T < WORTH_READING ? listNonzero(packedLeft(), x, inputs, T, I, count, <usize>width) : -1
  if (kept >= 0) {
    inputs = packedLeft()
    count = kept
  }
  const paired = (count + 1) & ~1 // rounded numbers of a token, which are used in pairs
  const block = min<i32>(MOST_TOKENS, BLOCK / max<i32>(paired, 1))
  y += bytes(from)
  weight = storedRow<i8>(weight, from, 1)
  if (bias) bias += bytes(from)
  for (let t = 0; t < T; t++) memory.fill(rowAt(y, t, O), 0, bytes(width))
  for (let first = 0; first < T; first += block) {
    const tokens = min<i32>(block, T - first)
    const to = rowAt(y, first, O)
    for (let t = 0; t < tokens; t++) {
      const q = storedRow<i16>(quantized(), t, paired)
      scaleInputs(packedRight(), rowAt(x, first + t, I), scales, inputs, count)
      store<f32>(tokenSteps() + bytes(t), quantizeSteps(q, packedRight(), count))
      if (paired > count) store<i16>(q + storedRow<i16>(0, count, 1), 0)
    }
    if (T >= WORTH_PACKING && kept < 0)
      addOuterProducts<i8>(to, 0, O, quantized(), paired >> 1, 1, weight, O, inputs, tokens, width, count)
    else addRows(to, weight, inputs, tokens, width, O, count, paired)
    for (let t = 0; t < tokens; t++) finish(rowAt(to, t, O), load<f32>(tokenSteps() + bytes(t)), bias, width)
  }
}

/** Chosen inputs times their scales. */
function scaleInputs(to: usize, x: usize, scales: usize, inputs: usize, count: i32): void {
  let r = 0
  if (!inputs)
    for (; r < (count & ~3); r += 4) {
      const at = bytes(r)
      v128.store(to + at, f32x4.mul(v128.load(x + at), v128.load(scales + at)))
    }
  for (; r < count; r++) {
    const at = bytes(unitAt(inputs, r))
    store<f32>(to + bytes(r), load<f32>(x + at) * load<f32>(scales + at))
  }
}

/** Integers in y become numbers. */
function finish(y: usize, step: f32, bias: usize, width: i32): void {
  const end = y + bytes(width)
  const whole = y + wholeQuads(width)
  const steps = f32x4.splat(step)
  while (y < whole) {
    const biases = bias ? v128.load(bias) : f32x4.splat(0)
    v128.store(y, f32x4.add(f32x4.mul(steps, f32x4.convert_i32x4_s(v128.load(y))), biases))
    y += 16
    bias += bias ? 16 : 0
  }
  while (y < end) {
    store<f32>(y, step * <f32>load<i32>(y) + (bias ? load<f32>(bias) : 0))
    y += 4
    bias += bias ? 4 : 0
  }
}

/** y[t] += sum over chosen r of q[t, r] * weight[r], in integers; rows of y and of the weights are `stride` apart. */
function addRows(
  y: usize, // [tokens, width] i32
  weight: usize,
  inputs: usize,
  tokens: i32,
  width: i32,
  stride: i32,
  count: i32,
  paired: i32,
): void {
  const chunk = tokens == 1 ? width : CHUNK
  const quarter = (count + 3) / 4
  for (let first = 0; first < quarter; first++) {
    // A place past the end takes a row that is there, times 0.
    for (let place = 0; place < 4; place++) {
      const r = first + place * quarter
      store<usize>(
        rowAddresses() + bytes(place),
        storedRow<i8>(weight, unitAt(inputs, r < count ? r : first), stride),
      )
    }
    for (let column = 0; column < width; column += chunk)
      for (let t = 0; t < tokens; t++) {
        const q = storedRow<i16>(quantized(), t, paired)
        for (let place = 0; place < 4; place++) {
          const r = first + place * quarter
          const factor: i16 = r < count ? load<i16>(q + storedRow<i16>(0, r, 1)) : 0
          store<i16>(rowFactors() + storedRow<i16>(0, place, 1), factor)
        }
        addFour(rowAt(y, t, stride), column, min<i32>(chunk, width - column))
      }
  }
}

/** Adds the four rows at `addresses` times their `factors`: `width` numbers of each, from a column on. */
function addFour(y: usize, column: i32, width: i32): void {
  let w0 = load<usize>(rowAddresses()) + <usize>column
  let w1 = load<usize>(rowAddresses(), 4) + <usize>column
  let w2 = load<usize>(rowAddresses(), 8) + <usize>column
  let w3 = load<usize>(rowAddresses(), 12) + <usize>column
  const q01 = v128.load32_splat(rowFactors())
  const q23 = v128.load32_splat(rowFactors(), 4)
  y += bytes(column)
  const end = y + bytes(width)
  const whole = y + bytes(width & ~15)
  while (y < whole) {
    // Eight columns are stored before the next are read: compilers move nothing across that, and need fewer registers.
    const a = v128.load(w0)
    const b = v128.load(w1)
    const c = v128.load(w2)
    const d = v128.load(w3)
    addEight(y, q01, q23, lowerBytes(a, b), lowerBytes(c, d))
    addEight(y + 32, q01, q23, upperBytes(a, b), upperBytes(c, d))
    y += 64
    w0 += 16
    w1 += 16
    w2 += 16
    w3 += 16
  }
  for (; y < end; y += 4) {
    let sum = load<i32>(y)
    sum += product(w0++, 0)
    sum += product(w1++, 1)
    sum += product(w2++, 2)
    sum += product(w3++, 3)
    store<i32>(y, sum)
  }
}

/** Adds eight columns of two pairs of rows. */
function addEight(y: usize, q01: v128, q23: v128, rows01: v128, rows23: v128): void {
  let sum0 = multiplyPairs(v128.load(y), q01, i16x8.extend_low_i8x16_s(rows01))
  let sum1 = multiplyPairs(v128.load(y, 16), q01, i16x8.extend_high_i8x16_s(rows01))
  sum0 = multiplyPairs(sum0, q23, i16x8.extend_low_i8x16_s(rows23))
  sum1 = multiplyPairs(sum1, q23, i16x8.extend_high_i8x16_s(rows23))
  v128.store(y, sum1, 16)
  v128.store(y, sum0)
}

/** What a place's factor makes of a weight. */
function product(weight: usize, place: i32): i32 {
  return <i32>load<i8>(weight) * <i32>load<i16>(rowFactors() + storedRow<i16>(0, place, 1))
}
