/**
 * y += sum over rows r of factors[r] * matrix[r], sequential in r: what linear_input_major does for one token, and
 * attention with the values of the past.
 *
 * Two ways with the same order of additions. Eight rows at a time, y is read and written an eighth as often, and memory
 * is read in eight streams, which is faster than one. Short rows that follow each other in memory are the exception:
 * there the streams share pages, and one row after the other, a single stream, is faster (bench/README.md).
 */
import { addScaled } from './elementwise'
import { bytes, wholeQuads } from './float32'
import { rowAt, unitAt } from './units'

/** Every row, one after the other. */
export function addRowsOneByOne(
  y: usize, // [width]
  matrix: usize, // [count, width]
  factors: usize, // [count]
  count: i32,
  width: i32,
): void {
  for (let r = 0; r < count; r++) addScaled(y, rowAt(matrix, r, width), load<f32>(factors + bytes(r)), width)
}

/** Columns of eight rows that stay in a first-level cache while several tokens use them. */
const CHUNK: i32 = 512

/** Chosen rows, eight at a time, for each of T tokens: y[t] += sum of factors[t, r] * matrix[r]. */
export function addRowsByEight(
  y: usize, // [T, width]
  matrix: usize, // [I, width]
  factors: usize, // [T, I]
  list: usize, // [count] or null
  T: i32,
  width: i32,
  I: i32,
  count: i32,
): void {
  const chunk = T == 1 ? width : CHUNK
  let r = 0
  for (; r + 8 <= count; r += 8) {
    for (let first = 0; first < width; first += chunk) {
      const size = min<i32>(chunk, width - first)
      const at = bytes(first)
      for (let t = 0; t < T; t++)
        addEightRows(rowAt(y, t, width) + at, matrix + at, rowAt(factors, t, I), list, r, width, size)
    }
  }
  for (; r < count; r++) {
    const i = unitAt(list, r)
    const row = rowAt(matrix, i, width)
    for (let t = 0; t < T; t++)
      addScaled(rowAt(y, t, width), row, load<f32>(rowAt(factors, t, I) + bytes(i)), width)
  }
}

/** Rows r..r+7 of the list, which stand `stride` numbers apart; `width` numbers of each. */
function addEightRows(
  y: usize,
  matrix: usize,
  factors: usize,
  list: usize,
  r: i32,
  stride: i32,
  width: i32,
): void {
  const i0 = unitAt(list, r)
  const i1 = unitAt(list, r + 1)
  const i2 = unitAt(list, r + 2)
  const i3 = unitAt(list, r + 3)
  const i4 = unitAt(list, r + 4)
  const i5 = unitAt(list, r + 5)
  const i6 = unitAt(list, r + 6)
  const i7 = unitAt(list, r + 7)
  const f0 = v128.load32_splat(factors + bytes(i0))
  const f1 = v128.load32_splat(factors + bytes(i1))
  const f2 = v128.load32_splat(factors + bytes(i2))
  const f3 = v128.load32_splat(factors + bytes(i3))
  const f4 = v128.load32_splat(factors + bytes(i4))
  const f5 = v128.load32_splat(factors + bytes(i5))
  const f6 = v128.load32_splat(factors + bytes(i6))
  const f7 = v128.load32_splat(factors + bytes(i7))
  let w0 = rowAt(matrix, i0, stride)
  let w1 = rowAt(matrix, i1, stride)
  let w2 = rowAt(matrix, i2, stride)
  let w3 = rowAt(matrix, i3, stride)
  let w4 = rowAt(matrix, i4, stride)
  let w5 = rowAt(matrix, i5, stride)
  let w6 = rowAt(matrix, i6, stride)
  let w7 = rowAt(matrix, i7, stride)
  const end = y + bytes(width)
  const whole = y + wholeQuads(width)
  while (y < whole) {
    let sum = v128.load(y)
    sum = f32x4.add(sum, f32x4.mul(f0, v128.load(w0)))
    sum = f32x4.add(sum, f32x4.mul(f1, v128.load(w1)))
    sum = f32x4.add(sum, f32x4.mul(f2, v128.load(w2)))
    sum = f32x4.add(sum, f32x4.mul(f3, v128.load(w3)))
    sum = f32x4.add(sum, f32x4.mul(f4, v128.load(w4)))
    sum = f32x4.add(sum, f32x4.mul(f5, v128.load(w5)))
    sum = f32x4.add(sum, f32x4.mul(f6, v128.load(w6)))
    sum = f32x4.add(sum, f32x4.mul(f7, v128.load(w7)))
    v128.store(y, sum)
    y += 16
    w0 += 16
    w1 += 16
    w2 += 16
    w3 += 16
    w4 += 16
    w5 += 16
    w6 += 16
    w7 += 16
  }
  while (y < end) {
    let sum = load<f32>(y)
    sum += f32x4.extract_lane(f0, 0) * load<f32>(w0)
    sum += f32x4.extract_lane(f1, 0) * load<f32>(w1)
    sum += f32x4.extract_lane(f2, 0) * load<f32>(w2)
    sum += f32x4.extract_lane(f3, 0) * load<f32>(w3)
    sum += f32x4.extract_lane(f4, 0) * load<f32>(w4)
    sum += f32x4.extract_lane(f5, 0) * load<f32>(w5)
    sum += f32x4.extract_lane(f6, 0) * load<f32>(w6)
    sum += f32x4.extract_lane(f7, 0) * load<f32>(w7)
    store<f32>(y, sum)
    y += 4
    w0 += 4
    w1 += 4
    w2 += 4
    w3 += 4
    w4 += 4
    w5 += 4
    w6 += 4
    w7 += 4
  }
}
