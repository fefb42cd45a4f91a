/**
 * y += sum over rows r of factors[r] * matrix[r], sequential in r: linear_input_major for few tokens, and attention
 * over the values of the cache.
 *
 * Two strategies with the same order of additions. With eight rows at once, a line of each in turn, y is read and written an
 * eighth as often, and memory is read in eight streams, which is faster than one. Short neighbouring rows are the
 * exception: their streams share pages, and one row after the other is faster (bench/README.md).
 */
import { addScaled } from './elementwise'
import { bytes, madd, madd1, storeStripe, STRIPE, wholeStripes } from './float32'
import { rowAddresses, rowFactors } from './scratch'
import { fitsUnits, inUnits, one, quad0, quad1, quad2, quad3, storedRow } from './storage'
import { rowAt, unitAt } from './units'

/** Rows side by side: more fall into the same places of a first-level cache where rows are a power of two long. */
const GROUP: i32 = 8

/** Columns of a group that stay in a first-level cache while several tokens use them. */
const CHUNK: i32 = 512

/** Every row, one after the other: y += sum over r of x[r] * matrix[r]. Rows of the matrix are `stride` numbers apart. */
export function addRowsOneByOne<W>(
  y: usize, // [width]
  matrix: usize, // [count, width] W
  x: usize, // [count]
  count: i32,
  width: i32,
  stride: i32,
): void {
  for (let r = 0; r < count; r++)
    addScaled<W>(y, storedRow<W>(matrix, r, stride), load<f32>(x + bytes(r)), width)
}

/**
 * Chosen rows side by side, for each of T tokens: y[t] += sum over r of x[t, r] * matrix[r]. Rows of y and of the matrix
 * are `stride` numbers apart.
 */
export function addRows<W>(
  y: usize, // [T, width]
  matrix: usize, // [I, width] W
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
      store<usize>(addresses + bytes(r), storedRow<W>(matrix, unitAt(list, first + r), stride))
    for (let column = 0; column < width; column += chunk) {
      const at = bytes(column)
      const columns = min<i32>(chunk, width - column)
      for (let t = 0; t < T; t++) {
        const from = rowAt(x, t, I)
        const to = rowAt(y, t, stride)
        let fit = true
        for (let r = 0; r < size; r++) {
          const factor = load<f32>(from + bytes(unitAt(list, first + r)))
          store<f32>(factors + bytes(r), factor)
          fit = fit && fitsUnits<W>(factor)
        }
        if (fit) addGroup<W>(to, at, columns, size)
        else
          for (let r = 0; r < size; r++)
            addScaled<W>(
              to + at,
              load<usize>(addresses + bytes(r)) + storedAt<W>(at),
              load<f32>(factors + bytes(r)),
              columns,
            )
      }
    }
  }
}

/** Adds `size` rows at `rowAddresses` times their `rowFactors`, which fit: `width` numbers of each, from byte `at` of y on. */
function addGroup<W>(y: usize, at: usize, width: i32, size: i32): void {
  const addresses = rowAddresses()
  const factors = rowFactors()
  const end = at + bytes(width)
  const whole = at + wholeStripes(width)
  const rows = bytes(size)
  const pairs = bytes(size & ~1)
  for (; at < whole; at += STRIPE) {
    let sum0 = v128.load(y + at)
    let sum1 = v128.load(y + at, 16)
    let sum2 = v128.load(y + at, 32)
    let sum3 = v128.load(y + at, 48)
    let r: usize = 0
    for (; r < pairs; r += 8) {
      const factor = inUnits<W>(v128.load32_splat(factors + r))
      const row = load<usize>(addresses + r) + storedAt<W>(at)
      sum0 = madd(sum0, factor, quad0<W>(row))
      sum1 = madd(sum1, factor, quad1<W>(row))
      sum2 = madd(sum2, factor, quad2<W>(row))
      sum3 = madd(sum3, factor, quad3<W>(row))
      const next = inUnits<W>(v128.load32_splat(factors + r, 4))
      const nextRow = load<usize>(addresses + r, 4) + storedAt<W>(at)
      sum0 = madd(sum0, next, quad0<W>(nextRow))
      sum1 = madd(sum1, next, quad1<W>(nextRow))
      sum2 = madd(sum2, next, quad2<W>(nextRow))
      sum3 = madd(sum3, next, quad3<W>(nextRow))
    }
    if (r < rows) {
      const factor = inUnits<W>(v128.load32_splat(factors + r))
      const row = load<usize>(addresses + r) + storedAt<W>(at)
      sum0 = madd(sum0, factor, quad0<W>(row))
      sum1 = madd(sum1, factor, quad1<W>(row))
      sum2 = madd(sum2, factor, quad2<W>(row))
      sum3 = madd(sum3, factor, quad3<W>(row))
    }
    storeStripe(y + at, sum0, sum1, sum2, sum3)
  }
  for (; at < end; at += 4) {
    let sum = load<f32>(y + at)
    for (let r: usize = 0; r < rows; r += 4)
      sum = madd1(sum, load<f32>(factors + r), one<W>(load<usize>(addresses + r) + storedAt<W>(at)))
    store<f32>(y + at, sum)
  }
}

/** Where a stored row holds the number that stands at byte `at` of a row of float32. */
function storedAt<W>(at: usize): usize {
  return at / (4 / sizeof<W>())
}
