/**
 * linear_i8: y[t, o] = (step[t] scales[o]) <q[t], weight[o]> + bias[o] for chosen rows o, +0 for the others.
 *
 * The inner products are exact, so rows and tokens are read in the fastest order. Few tokens: four rows at a time, from four
 * places of the matrix a quarter of the way apart (bench/README.md), for one token or for two. At the ends some rows and
 * tokens are computed twice. Several: linear_i8_tile.ts.
 */
import { bytes } from './float32'
import { multiplyPairs } from './int16_pairs'
import { isTiled, multiplyTiled } from './linear_i8_tile'
import { quantizeSteps } from './quantized_steps'
import { integerSums, quantized, tokenSteps } from './scratch'
import { storedRow } from './storage'
import { clearOwned, rowAt, unitAt } from './units'

/** Rounded tokens that stay in a second-level cache, in numbers: more tokens mean fewer readings of the weights. */
const BLOCK: i32 = 131072
/** At most this many tokens, and an even number of them. */
const MOST_TOKENS: i32 = 64

export function linear_i8(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I] i8
  scales: usize, // [O]
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  linear_i8_part(y, x, weight, scales, bias, rows, T, O, I, R, 0, rows ? R : O)
}

/** What rows from..to of the matrix give, or entries from..to of the list. */
export function linear_i8_part(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I] i8
  scales: usize, // [O]
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  const count = to - from
  if (rows) {
    clearOwned(y, rows, T, O, 1, R, from, to)
    rows += bytes(from)
  } else {
    y += bytes(from)
    weight = storedRow<i8>(weight, from, I)
    scales += bytes(from)
    if (bias) bias += bytes(from)
  }
  if (count == 0) return
  const block = min<i32>(MOST_TOKENS, (BLOCK / max<i32>(I, 1)) & ~1)
  for (let first = 0; first < T; first += block) {
    const tokens = min<i32>(block, T - first)
    for (let t = 0; t < tokens; t++)
      store<f32>(tokenSteps() + bytes(t), quantizeSteps(stepsAt(t, I), rowAt(x, first + t, I), I))
    const to = rowAt(y, first, O)
    if (isTiled(tokens, I, count))
      multiplyTiled(to, quantized(), tokenSteps(), weight, scales, bias, rows, tokens, O, I, count)
    else multiplyBlock(to, weight, scales, bias, rows, tokens, O, I, count)
  }
}

/** The rounded numbers of a token of the block: [I] i16. */
function stepsAt(t: i32, I: i32): usize {
  return storedRow<i16>(quantized(), t, I)
}

function multiplyBlock(
  y: usize, // [tokens, O]
  weight: usize,
  scales: usize,
  bias: usize,
  rows: usize,
  tokens: i32,
  O: i32,
  I: i32,
  count: i32,
): void {
  const quarter = (count + 3) / 4
  for (let r = 0; r < quarter; r++) {
    const o0 = unitAt(rows, r)
    const o1 = unitAt(rows, min<i32>(r + quarter, count - 1))
    const o2 = unitAt(rows, min<i32>(r + quarter * 2, count - 1))
    const o3 = unitAt(rows, min<i32>(r + quarter * 3, count - 1))
    const w0 = storedRow<i8>(weight, o0, I)
    const w1 = storedRow<i8>(weight, o1, I)
    const w2 = storedRow<i8>(weight, o2, I)
    const w3 = storedRow<i8>(weight, o3, I)
    const four = gather(scales, o0, o1, o2, o3)
    const biases = bias ? gather(bias, o0, o1, o2, o3) : f32x4.splat(0)
    // Where vectors are joined, one token after the other is faster than two whose sums are not in pairs.
    if (WIDE || tokens == 1) {
      for (let t = 0; t < tokens; t++) {
        dotFour(integerSums(), stepsAt(t, I), w0, w1, w2, w3, I)
        finish(rowAt(y, t, O), integerSums(), tokenSteps() + bytes(t), four, biases, o0, o1, o2, o3)
      }
      continue
    }
    for (let t = 0; t < tokens; t += 2) {
      const t0 = min<i32>(t, tokens - 2)
      dotFourTwice(integerSums(), stepsAt(t0, I), stepsAt(t0 + 1, I), w0, w1, w2, w3, I)
      const steps = tokenSteps() + bytes(t0)
      finish(rowAt(y, t0, O), integerSums(), steps, four, biases, o0, o1, o2, o3)
      finish(rowAt(y, t0 + 1, O), integerSums() + 16, steps + 4, four, biases, o0, o1, o2, o3)
    }
  }
}

/** Four sums at an address: of q times each of four rows, the even and the odd eights of numbers apart. */
function dotFour(to: usize, q: usize, w0: usize, w1: usize, w2: usize, w3: usize, I: i32): void {
  const whole = q + storedRow<i16>(0, I & ~15, 1)
  let a0 = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let a2 = i32x4.splat(0)
  let a3 = i32x4.splat(0)
  let b0 = i32x4.splat(0)
  let b1 = i32x4.splat(0)
  let b2 = i32x4.splat(0)
  let b3 = i32x4.splat(0)
  while (q < whole) {
    const q0 = v128.load(q)
    const q1 = v128.load(q, 16)
    a0 = multiplyPairs(a0, q0, v128.load8x8_s(w0))
    b0 = multiplyPairs(b0, q1, v128.load8x8_s(w0, 8))
    a1 = multiplyPairs(a1, q0, v128.load8x8_s(w1))
    b1 = multiplyPairs(b1, q1, v128.load8x8_s(w1, 8))
    a2 = multiplyPairs(a2, q0, v128.load8x8_s(w2))
    b2 = multiplyPairs(b2, q1, v128.load8x8_s(w2, 8))
    a3 = multiplyPairs(a3, q0, v128.load8x8_s(w3))
    b3 = multiplyPairs(b3, q1, v128.load8x8_s(w3, 8))
    q += 32
    w0 += 16
    w1 += 16
    w2 += 16
    w3 += 16
  }
  const sums = sumsOfLanes(i32x4.add(a0, b0), i32x4.add(a1, b1), i32x4.add(a2, b2), i32x4.add(a3, b3))
  v128.store(to, i32x4.add(sums, dotTails(q, w0, w1, w2, w3, I & 15)))
}

/** Eight sums at an address: of p and of q times each of four rows. */
function dotFourTwice(
  to: usize,
  p: usize,
  q: usize,
  w0: usize,
  w1: usize,
  w2: usize,
  w3: usize,
  I: i32,
): void {
  const whole = q + storedRow<i16>(0, I & ~15, 1)
  let a0 = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let a2 = i32x4.splat(0)
  let a3 = i32x4.splat(0)
  let b0 = i32x4.splat(0)
  let b1 = i32x4.splat(0)
  let b2 = i32x4.splat(0)
  let b3 = i32x4.splat(0)
  while (q < whole) {
    let p0 = v128.load(p)
    let q0 = v128.load(q)
    let w = v128.load8x8_s(w0)
    a0 = multiplyPairs(a0, p0, w)
    b0 = multiplyPairs(b0, q0, w)
    w = v128.load8x8_s(w1)
    a1 = multiplyPairs(a1, p0, w)
    b1 = multiplyPairs(b1, q0, w)
    w = v128.load8x8_s(w2)
    a2 = multiplyPairs(a2, p0, w)
    b2 = multiplyPairs(b2, q0, w)
    w = v128.load8x8_s(w3)
    a3 = multiplyPairs(a3, p0, w)
    b3 = multiplyPairs(b3, q0, w)
    p0 = v128.load(p, 16)
    q0 = v128.load(q, 16)
    w = v128.load8x8_s(w0, 8)
    a0 = multiplyPairs(a0, p0, w)
    b0 = multiplyPairs(b0, q0, w)
    w = v128.load8x8_s(w1, 8)
    a1 = multiplyPairs(a1, p0, w)
    b1 = multiplyPairs(b1, q0, w)
    w = v128.load8x8_s(w2, 8)
    a2 = multiplyPairs(a2, p0, w)
    b2 = multiplyPairs(b2, q0, w)
    w = v128.load8x8_s(w3, 8)
    a3 = multiplyPairs(a3, p0, w)
    b3 = multiplyPairs(b3, q0, w)
    p += 32
    q += 32
    w0 += 16
    w1 += 16
    w2 += 16
    w3 += 16
  }
  const rest = I & 15
  v128.store(to, i32x4.add(sumsOfLanes(a0, a1, a2, a3), dotTails(p, w0, w1, w2, w3, rest)))
  v128.store(to, i32x4.add(sumsOfLanes(b0, b1, b2, b3), dotTails(q, w0, w1, w2, w3, rest)), 16)
}

/** The sum of the lanes of each of four vectors. */
function sumsOfLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 1, 4, 5), v128.shuffle<i32>(a, b, 2, 3, 6, 7))
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 1, 4, 5), v128.shuffle<i32>(c, d, 2, 3, 6, 7))
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 2, 4, 6), v128.shuffle<i32>(ab, cd, 1, 3, 5, 7))
}

/** The sums of the last few products. */
function dotTails(q: usize, w0: usize, w1: usize, w2: usize, w3: usize, length: i32): v128 {
  let sums = i32x4.splat(0)
  for (let i: usize = 0; i < <usize>length; i++) {
    let w = i32x4.splat(load<i8>(w0 + i))
    w = i32x4.replace_lane(w, 1, load<i8>(w1 + i))
    w = i32x4.replace_lane(w, 2, load<i8>(w2 + i))
    w = i32x4.replace_lane(w, 3, load<i8>(w3 + i))
    sums = i32x4.add(sums, i32x4.mul(w, i32x4.splat(load<i16>(q + (i << 1)))))
  }
  return sums
}

/** Four sums as numbers of four rows of y. */
function finish(
  y: usize,
  sums: usize,
  step: usize,
  scales: v128,
  biases: v128,
  o0: i32,
  o1: i32,
  o2: i32,
  o3: i32,
): void {
  const factors = f32x4.mul(v128.load32_splat(step), scales)
  const four = f32x4.add(f32x4.mul(factors, f32x4.convert_i32x4_s(v128.load(sums))), biases)
  v128.store_lane<f32>(y + bytes(o0), four, 0)
  v128.store_lane<f32>(y + bytes(o1), four, 1)
  v128.store_lane<f32>(y + bytes(o2), four, 2)
  v128.store_lane<f32>(y + bytes(o3), four, 3)
}

/** One number of each of four rows. */
function gather(numbers: usize, o0: i32, o1: i32, o2: i32, o3: i32): v128 {
  let four = v128.load32_zero(numbers + bytes(o0))
  four = v128.load32_lane(numbers + bytes(o1), four, 1)
  four = v128.load32_lane(numbers + bytes(o2), four, 2)
  return v128.load32_lane(numbers + bytes(o3), four, 3)
}
