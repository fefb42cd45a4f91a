/**
 * Rows of int8 numbers in a head-major cache: their inner products with a query of int16.
 *
 * The products are exact, so they may be added in any order, and rows are read from four places at once, which is faster
 * than from one (bench/README.md). A row is `K` bytes long; its scale is stored elsewhere.
 */
import { bytes } from './float32'
import { multiplyPairs } from './int16_pairs'

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
