/**
 * y += sum over rows r of factors[r] * matrix[r], sequential in r: what linear_input_major does for a few tokens, and
 * attention with the values of the past.
 *
 * Two ways with the same order of additions. With eight rows side by side, a line of each after the other, y is read and
 * written an eighth as often, and memory is read in eight streams, which is faster than one. Short rows that follow each
 * other in memory are the exception: there the streams share pages, and one row after the other is faster
 * (bench/README.md).
 */
import { addScaled } from './elementwise'
import { bytes, STRIPE, wholeStripes } from './float32'
import { rowAddresses, rowFactors } from './scratch'
import { rowAt, unitAt } from './units'

/** Rows side by side: more fall into the same places of a first-level cache where rows are a power of two long. */
const GROUP: i32 = 8

/** Columns of a group that stay in a first-level cache while several tokens use them. */
const CHUNK: i32 = 512

/** Every row, one after the other; rows of the matrix are `stride` numbers apart. */
export function addRowsOneByOne(
  y: usize, // [width]
  matrix: usize, // [count, width]
  x: usize, // [count]
  count: i32,
  width: i32,
  stride: i32,
): void {
  for (let r = 0; r < count; r++) addScaled(y, rowAt(matrix, r, stride), load<f32>(x + bytes(r)), width)
}

/**
 * Chosen rows side by side, for each of T tokens: y[t] += sum over r of x[t, r] * matrix[r]. Rows of y and of the matrix
 * are `stride` numbers apart.
 */
export function addRows(
  y: usize, // [T, width]
  matrix: usize, // [I, width]
  x: usize, // [T, I]
  list: usize, // [count] or null
  T: i32,
  width: i32,
  stride: i32,
  I: i32,
  count: i32,
): void {
  const addresses = rowAddresses()
  const factors = rowFactors()
  const chunk = T == 1 ? width : CHUNK
  for (let first = 0; first < count; first += GROUP) {
    const size = min<i32>(GROUP, count - first)
    for (let r = 0; r < size; r++)
      store<usize>(addresses + bytes(r), rowAt(matrix, unitAt(list, first + r), stride))
    for (let column = 0; column < width; column += chunk) {
      const at = bytes(column)
      for (let t = 0; t < T; t++) {
        const from = rowAt(x, t, I)
        for (let r = 0; r < size; r++)
          store<f32>(factors + bytes(r), load<f32>(from + bytes(unitAt(list, first + r))))
        addGroup(rowAt(y, t, stride), at, min<i32>(chunk, width - column), size)
      }
    }
  }
}

/** Adds `size` rows at `rowAddresses` times their `rowFactors`: `width` numbers of each, from byte `at` on. */
function addGroup(y: usize, at: usize, width: i32, size: i32): void {
  const addresses = rowAddresses()
  const factors = rowFactors()
  const end = at + bytes(width)
  const whole = at + wholeStripes(width)
  const rows = bytes(size)
  for (; at < whole; at += STRIPE) {
    let sum0 = v128.load(y + at)
    let sum1 = v128.load(y + at, 16)
    let sum2 = v128.load(y + at, 32)
    let sum3 = v128.load(y + at, 48)
    for (let r: usize = 0; r < rows; r += 4) {
      const factor = v128.load32_splat(factors + r)
      const row = load<usize>(addresses + r) + at
      sum0 = f32x4.add(sum0, f32x4.mul(factor, v128.load(row)))
      sum1 = f32x4.add(sum1, f32x4.mul(factor, v128.load(row, 16)))
      sum2 = f32x4.add(sum2, f32x4.mul(factor, v128.load(row, 32)))
      sum3 = f32x4.add(sum3, f32x4.mul(factor, v128.load(row, 48)))
    }
    v128.store(y + at, sum0)
    v128.store(y + at, sum1, 16)
    v128.store(y + at, sum2, 32)
    v128.store(y + at, sum3, 48)
  }
  for (; at < end; at += 4) {
    let sum = load<f32>(y + at)
    for (let r: usize = 0; r < rows; r += 4)
      sum += load<f32>(factors + r) * load<f32>(load<usize>(addresses + r) + at)
    store<f32>(y + at, sum)
  }
}
