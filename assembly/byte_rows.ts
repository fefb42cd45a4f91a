/**
 * Rows of int8 numbers in a head-major cache: their inner products with a query of int16.
 *
 * The products are exact, so they may be added in any order, and rows are read from four places at once, which is faster
 * than from one (bench/README.md). A row is `K` bytes long; its scale is stored elsewhere.
 */
import { bytes } from './float32'
import { multiplyPairs } from './int16_pairs'
import { accumulators } from './scratch'

/** y[s] = (step * scales[s]) * <q, rows[s]>, s < count. */
export function dotByteRows(
  y: usize, // [count]
  q: usize, // [K] i16
  step: f32,
  rows: usize, // [count, K] i8
  scales: usize, // [count]
  count: i32,
  K: i32,
): void {
  const quarter = (count >> 2) & ~3
  const apart = bytes(quarter)
  const far = <usize>quarter * <usize>K
  const four = (<usize>K) << 2
  const steps = f32x4.splat(step)
  let s = 0
  for (; s < quarter; s += 4) {
    dotFour(y, q, steps, rows, scales, K)
    dotFour(y + apart, q, steps, rows + far, scales + apart, K)
    dotFour(y + apart * 2, q, steps, rows + far * 2, scales + apart * 2, K)
    dotFour(y + apart * 3, q, steps, rows + far * 3, scales + apart * 3, K)
    y += 16
    scales += 16
    rows += four
  }
  y += apart * 3
  scales += apart * 3
  rows += far * 3
  for (s = quarter * 4; s + 4 <= count; s += 4) {
    dotFour(y, q, steps, rows, scales, K)
    y += 16
    scales += 16
    rows += four
  }
  for (; s < count; s++) {
    store<f32>(y, step * load<f32>(scales) * <f32>dotOne(q, rows, K))
    y += 4
    scales += 4
    rows += K
  }
}

/** Four rows that follow each other. */
function dotFour(y: usize, q: usize, steps: v128, rows: usize, scales: usize, K: i32): void {
  const row = <usize>K
  const end = rows + row
  const whole = rows + (row & ~15)
  let a = i32x4.splat(0)
  let b = i32x4.splat(0)
  let c = i32x4.splat(0)
  let d = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let b1 = i32x4.splat(0)
  let c1 = i32x4.splat(0)
  let d1 = i32x4.splat(0)
  while (rows < whole) {
    const q0 = v128.load(q)
    const q1 = v128.load(q, 16)
    a = multiplyPairs(a, q0, v128.load8x8_s(rows))
    a1 = multiplyPairs(a1, q1, v128.load8x8_s(rows, 8))
    b = multiplyPairs(b, q0, v128.load8x8_s(rows + row))
    b1 = multiplyPairs(b1, q1, v128.load8x8_s(rows + row, 8))
    c = multiplyPairs(c, q0, v128.load8x8_s(rows + row * 2))
    c1 = multiplyPairs(c1, q1, v128.load8x8_s(rows + row * 2, 8))
    d = multiplyPairs(d, q0, v128.load8x8_s(rows + row * 3))
    d1 = multiplyPairs(d1, q1, v128.load8x8_s(rows + row * 3, 8))
    rows += 16
    q += 32
  }
  let totals = addLanes(i32x4.add(a, a1), i32x4.add(b, b1), i32x4.add(c, c1), i32x4.add(d, d1))
  for (; rows < end; rows++) {
    const four = i32x4(
      load<i8>(rows),
      load<i8>(rows + row),
      load<i8>(rows + row * 2),
      load<i8>(rows + row * 3),
    )
    totals = i32x4.add(totals, i32x4.mul(i32x4.splat(load<i16>(q)), four))
    q += 2
  }
  v128.store(y, f32x4.mul(f32x4.mul(steps, v128.load(scales)), f32x4.convert_i32x4_s(totals)))
}

/** Three queries over the same rows, or two, the first twice (attention_i8_shared.ts). */
export function dotSharedRows<N>(
  y: usize, // [N, count], `apart` bytes apart
  apart: usize,
  q0: usize, // [K] i16
  q1: usize,
  q2: usize,
  steps: usize, // [N]
  rows: usize, // [count, K] i8
  scales: usize, // [count]
  count: i32,
  K: i32,
): void {
  const quarter = (count >> 2) & ~3
  const line = bytes(quarter)
  const far = <usize>quarter * <usize>K
  const four = (<usize>K) << 2
  let s = 0
  for (; s < quarter; s += 4) {
    dotFourShared<N>(y, apart, q0, q1, q2, steps, rows, scales, K)
    dotFourShared<N>(y + line, apart, q0, q1, q2, steps, rows + far, scales + line, K)
    dotFourShared<N>(y + line * 2, apart, q0, q1, q2, steps, rows + far * 2, scales + line * 2, K)
    dotFourShared<N>(y + line * 3, apart, q0, q1, q2, steps, rows + far * 3, scales + line * 3, K)
    y += 16
    scales += 16
    rows += four
  }
  y += line * 3
  scales += line * 3
  rows += far * 3
  for (s = quarter * 4; s + 4 <= count; s += 4) {
    dotFourShared<N>(y, apart, q0, q1, q2, steps, rows, scales, K)
    y += 16
    scales += 16
    rows += four
  }
  for (; s < count; s++) {
    const scale = load<f32>(scales)
    store<f32>(y, load<f32>(steps) * scale * <f32>dotOne(q0, rows, K))
    store<f32>(y + apart, load<f32>(steps, 4) * scale * <f32>dotOne(q1, rows, K))
    if (isThree<N>()) store<f32>(y + apart * 2, load<f32>(steps, 8) * scale * <f32>dotOne(q2, rows, K))
    y += 4
    scales += 4
    rows += K
  }
}

/** Four rows that follow each other, each number of which is opened once for all queries. K: a multiple of eight */
function dotFourShared<N>(
  y: usize,
  apart: usize,
  q0: usize,
  q1: usize,
  q2: usize,
  steps: usize,
  rows: usize,
  scales: usize,
  K: i32,
): void {
  const sums = accumulators() // [N, row 4] vectors
  dotTwoShared<N>(sums, q0, q1, q2, rows, K)
  dotTwoShared<N>(sums + 32, q0, q1, q2, rows + ((<usize>K) << 1), K)
  const four = v128.load(scales)
  storeScores(y, f32x4.mul(v128.load32_splat(steps), four), sums)
  storeScores(y + apart, f32x4.mul(v128.load32_splat(steps, 4), four), sums + 64)
  if (isThree<N>()) storeScores(y + apart * 2, f32x4.mul(v128.load32_splat(steps, 8), four), sums + 128)
}

/** Two of the rows: the sums of four would not fit the registers with three queries and a row. */
function dotTwoShared<N>(sums: usize, q0: usize, q1: usize, q2: usize, rows: usize, K: i32): void {
  const row = <usize>K
  let a0 = i32x4.splat(0)
  let b0 = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let b1 = i32x4.splat(0)
  let a2 = i32x4.splat(0)
  let b2 = i32x4.splat(0)
  for (const end = rows + row; rows < end; rows += 8) {
    const x0 = v128.load(q0)
    const x1 = v128.load(q1)
    const x2 = isThree<N>() ? v128.load(q2) : x1
    const a = v128.load8x8_s(rows)
    const b = v128.load8x8_s(rows + row)
    a0 = multiplyPairs(a0, x0, a)
    a1 = multiplyPairs(a1, x1, a)
    if (isThree<N>()) a2 = multiplyPairs(a2, x2, a)
    b0 = multiplyPairs(b0, x0, b)
    b1 = multiplyPairs(b1, x1, b)
    if (isThree<N>()) b2 = multiplyPairs(b2, x2, b)
    q0 += 16
    q1 += 16
    if (isThree<N>()) q2 += 16
  }
  v128.store(sums, a0)
  v128.store(sums, b0, 16)
  v128.store(sums, a1, 64)
  v128.store(sums, b1, 80)
  if (isThree<N>()) {
    v128.store(sums, a2, 128)
    v128.store(sums, b2, 144)
  }
}

/** @param sums [4] vectors, one per row */
function storeScores(y: usize, factors: v128, sums: usize): void {
  const totals = addLanes(v128.load(sums), v128.load(sums, 16), v128.load(sums, 32), v128.load(sums, 48))
  v128.store(y, f32x4.mul(factors, f32x4.convert_i32x4_s(totals)))
}

/** How many heads share rows: a type, so that a loop has no question in it. */
export type Two = u16
export type Three = u32

export function isThree<N>(): bool {
  return sizeof<N>() == sizeof<Three>()
}

/** The sums of the lanes of a, b, c and d. */
export function addLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 1, 4, 5), v128.shuffle<i32>(a, b, 2, 3, 6, 7))
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 1, 4, 5), v128.shuffle<i32>(c, d, 2, 3, 6, 7))
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 2, 4, 6), v128.shuffle<i32>(ab, cd, 1, 3, 5, 7))
}

function dotOne(q: usize, row: usize, K: i32): i32 {
  let total = 0
  for (const end = row + <usize>K; row < end; row++) {
    total += <i32>load<i16>(q) * <i32>load<i8>(row)
    q += 2
  }
  return total
}
