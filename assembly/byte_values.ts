/**
 * Values stored as int8, weighted by factors rounded to int16 and added as integers, a block of positions at a time
 * (src/ops/attention_i8.ts). Within a block any order gives the same sum.
 */
import { isThree } from './byte_rows'
import { largerSizes, largestLane } from './elementwise'
import { bytes, storeStripe } from './float32'
import { lowerBytes, multiplyPairs, upperBytes } from './int16_pairs'
import { eightSteps, isPlainStep, MOST_LEVELS, nearestSteps } from './quantized_steps'
import { blockFactors } from './scratch'

/** Positions of a block. */
export const VALUE_BLOCK: i32 = 64
/** Bytes of its factors. */
const BLOCK_BYTES: usize = (<usize>VALUE_BLOCK) << 1

/** y += factors[s] scales[s] * rows[s], skipped <= s < count, the factors of each block as int16; skipped: below a block. */
export function addByteValues(
  y: usize, // [K]
  rows: usize, // [count, K] i8
  factors: usize, // [count]
  scales: usize, // [count]
  skipped: i32,
  count: i32,
  K: i32,
): void {
  const q = blockFactors()
  const whole = K & ~15
  for (let first = 0; first < count; first += VALUE_BLOCK) {
    const size = min<i32>(VALUE_BLOCK, count - first)
    const step = roundFactors(q, factors, scales, first == 0 ? skipped : 0, size)
    for (let k = 0; k < whole; k += 16) addColumns(y + bytes(k), rows + k, q, step, size, K)
    for (let k = whole; k < K; k++) addColumn(y + bytes(k), rows + k, q, step, size, K)
    rows += <usize>size * <usize>K
    factors += bytes(size)
    scales += bytes(size)
  }
}

/**
 * Factors of a block, multiplied by their scales, as int16 steps; returns the step. Factors and steps that are skipped, and those
 * after the last up to a multiple of eight, are 0.
 */
export function roundFactors(
  q: usize, // [VALUE_BLOCK] i16
  factors: usize, // [VALUE_BLOCK]
  scales: usize, // [size]
  skipped: i32,
  size: i32,
): f32 {
  const eights = factors + bytes(size & ~7)
  let most0 = i32x4.splat(0)
  let most1 = i32x4.splat(0)
  let x = factors
  if (skipped > 0) {
    memory.fill(x, 0, bytes(skipped))
    x += bytes(skipped)
    scales += bytes(skipped)
    // One by one, up to a multiple of eight.
    for (const end = factors + bytes(min<i32>(size, (skipped + 7) & ~7)); x < end; x += 4, scales += 4) {
      store<f32>(x, load<f32>(x) * load<f32>(scales))
      most0 = largerSizes(most0, v128.load32_zero(x))
    }
  }
  for (; x < eights; x += 32, scales += 32) {
    const first = f32x4.mul(v128.load(x), v128.load(scales))
    const second = f32x4.mul(v128.load(x, 16), v128.load(scales, 16))
    most0 = largerSizes(most0, first)
    most1 = largerSizes(most1, second)
    v128.store(x, first)
    v128.store(x, second, 16)
  }
  if (size & 7) {
    for (const end = factors + bytes(size); x < end; x += 4, scales += 4) {
      store<f32>(x, load<f32>(x) * load<f32>(scales))
      most0 = largerSizes(most0, v128.load32_zero(x))
    }
    const padded = factors + bytes((size + 7) & ~7)
    memory.fill(x, 0, padded - x)
    x = padded
  }
  const steps = f32x4.div(largestLane(i32x4.max_s(most0, most1)), f32x4.splat(<f32>MOST_LEVELS))
  const step = f32x4.extract_lane(steps, 0)
  if (isPlainStep(step)) for (; factors < x; factors += 32, q += 16) v128.store(q, eightSteps(factors, steps))
  else {
    const levels = f32x4.splat(<f32>MOST_LEVELS)
    for (; factors < x; factors += 16, q += 8) {
      const four = nearestSteps(v128.load(factors), steps, levels)
      v128.store64_lane(q, i16x8.narrow_i32x4_s(four, four), 0)
    }
  }
  return step
}

/** The same for three heads, or two, that read the same rows, whose numbers are opened once. K: a multiple of sixteen */
export function addSharedValues<N>(
  y0: usize, // [K]
  y1: usize,
  y2: usize,
  rows: usize, // [count, K] i8
  factors: usize, // [N, count], `apart` bytes apart
  apart: usize,
  scales: usize, // [count]
  steps: usize, // [N], written
  skipped: i32,
  count: i32,
  K: i32,
): void {
  const q = blockFactors()
  for (let first = 0; first < count; first += VALUE_BLOCK) {
    const size = min<i32>(VALUE_BLOCK, count - first)
    const left = first == 0 ? skipped : 0
    store<f32>(steps, roundFactors(q, factors, scales, left, size))
    store<f32>(steps, roundFactors(q + BLOCK_BYTES, factors + apart, scales, left, size), 4)
    if (isThree<N>())
      store<f32>(steps, roundFactors(q + BLOCK_BYTES * 2, factors + apart * 2, scales, left, size), 8)
    for (let k = 0; k < K; k += 16) {
      const at = bytes(k)
      addSharedColumns<N>(y0 + at, y1 + at, y2 + at, rows + k, q, steps, size, K)
    }
    rows += <usize>size * <usize>K
    factors += bytes(size)
    scales += bytes(size)
  }
}

/** Sixteen columns of a block for each head, two rows at a time. */
function addSharedColumns<N>(
  y0: usize,
  y1: usize,
  y2: usize,
  rows: usize,
  q: usize, // [N, VALUE_BLOCK] i16
  steps: usize, // [N]
  size: i32,
  K: i32,
): void {
  let a0 = i32x4.splat(0)
  let b0 = i32x4.splat(0)
  let c0 = i32x4.splat(0)
  let d0 = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let b1 = i32x4.splat(0)
  let c1 = i32x4.splat(0)
  let d1 = i32x4.splat(0)
  let a2 = i32x4.splat(0)
  let b2 = i32x4.splat(0)
  let c2 = i32x4.splat(0)
  let d2 = i32x4.splat(0)
  let apart = <usize>K
  let end = q + bytes(size >> 1)
  const last = q + bytes((size + 1) >> 1)
  while (true) {
    for (; q < end; q += 4) {
      const x0 = v128.load32_splat(q)
      const x1 = v128.load32_splat(q + BLOCK_BYTES)
      const x2 = isThree<N>() ? v128.load32_splat(q + BLOCK_BYTES * 2) : x1
      const first = v128.load(rows)
      const second = v128.load(rows + apart)
      const lower = lowerBytes(first, second)
      const upper = upperBytes(first, second)
      let pairs = i16x8.extend_low_i8x16_s(lower)
      a0 = multiplyPairs(a0, x0, pairs)
      a1 = multiplyPairs(a1, x1, pairs)
      if (isThree<N>()) a2 = multiplyPairs(a2, x2, pairs)
      pairs = i16x8.extend_high_i8x16_s(lower)
      b0 = multiplyPairs(b0, x0, pairs)
      b1 = multiplyPairs(b1, x1, pairs)
      if (isThree<N>()) b2 = multiplyPairs(b2, x2, pairs)
      pairs = i16x8.extend_low_i8x16_s(upper)
      c0 = multiplyPairs(c0, x0, pairs)
      c1 = multiplyPairs(c1, x1, pairs)
      if (isThree<N>()) c2 = multiplyPairs(c2, x2, pairs)
      pairs = i16x8.extend_high_i8x16_s(upper)
      d0 = multiplyPairs(d0, x0, pairs)
      d1 = multiplyPairs(d1, x1, pairs)
      if (isThree<N>()) d2 = multiplyPairs(d2, x2, pairs)
      rows += apart << 1
    }
    if (q == last) break
    // A last row is its own second, 0 times.
    apart = 0
    end = last
  }
  addSums(y0, v128.load32_splat(steps), a0, b0, c0, d0)
  addSums(y1, v128.load32_splat(steps, 4), a1, b1, c1, d1)
  if (isThree<N>()) addSums(y2, v128.load32_splat(steps, 8), a2, b2, c2, d2)
}

/** Sixteen columns of a block, two rows at a time. */
function addColumns(y: usize, rows: usize, q: usize, step: f32, size: i32, K: i32): void {
  let sum0 = i32x4.splat(0)
  let sum1 = i32x4.splat(0)
  let sum2 = i32x4.splat(0)
  let sum3 = i32x4.splat(0)
  let apart = <usize>K
  let end = q + bytes(size >> 1)
  const last = q + bytes((size + 1) >> 1)
  while (true) {
    for (; q < end; q += 4) {
      const pair = v128.load32_splat(q)
      const a = v128.load(rows)
      const b = v128.load(rows + apart)
      const lower = lowerBytes(a, b)
      const upper = upperBytes(a, b)
      sum0 = multiplyPairs(sum0, pair, i16x8.extend_low_i8x16_s(lower))
      sum1 = multiplyPairs(sum1, pair, i16x8.extend_high_i8x16_s(lower))
      sum2 = multiplyPairs(sum2, pair, i16x8.extend_low_i8x16_s(upper))
      sum3 = multiplyPairs(sum3, pair, i16x8.extend_high_i8x16_s(upper))
      rows += apart << 1
    }
    if (q == last) break
    // A last row is its own second, 0 times.
    apart = 0
    end = last
  }
  addSums(y, f32x4.splat(step), sum0, sum1, sum2, sum3)
}

/** Adds sixteen sums of whole numbers, in steps, to y. */
export function addSums(y: usize, steps: v128, sum0: v128, sum1: v128, sum2: v128, sum3: v128): void {
  const y0 = addFour(v128.load(y), steps, sum0)
  const y1 = addFour(v128.load(y, 16), steps, sum1)
  const y2 = addFour(v128.load(y, 32), steps, sum2)
  const y3 = addFour(v128.load(y, 48), steps, sum3)
  storeStripe(y, y0, y1, y2, y3)
}

function addFour(y: v128, steps: v128, sums: v128): v128 {
  return f32x4.add(y, f32x4.mul(steps, f32x4.convert_i32x4_s(sums)))
}

function addColumn(y: usize, rows: usize, q: usize, step: f32, size: i32, K: i32): void {
  let sum = 0
  for (const end = q + ((<usize>size) << 1); q < end; q += 2) {
    sum += <i32>load<i16>(q) * <i32>load<i8>(rows)
    rows += K
  }
  store<f32>(y, load<f32>(y) + step * <f32>sum)
}
