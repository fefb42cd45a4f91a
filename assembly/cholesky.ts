/**
 * cholesky: the upper triangle R with A = Rᵀ R. solve_cholesky: the X with Rᵀ R X = B.
 *
 * Rows are worked off in blocks. Those of a block are finished one after the other; then the terms of the whole block are added to
 * the rows that still want them, so that what is added to stays in registers. The order of each sum is that of the definition.
 * Products are rounded in every build.
 */
import { bytes } from './float32'
import { rowAt } from './units'

/** Rows of a block: its terms of 16 columns fit half of a first-level cache. */
const BLOCK: i32 = 64

export function cholesky(
  factor: usize, // [U, U], may be a
  a: usize, // [U, U]
  U: i32,
): void {
  const row = bytes(U)
  if (factor != a) memory.copy(factor, a, row * <usize>U)
  for (let first = 0; first < U; first += BLOCK) {
    const end = min<i32>(first + BLOCK, U)
    for (let k = first; k < end; k++) {
      // -R[i, k] stands below the diagonal, at [k, i], until its row is no longer needed.
      const at = rowAt(factor, k, U) + bytes(k)
      const above = rowAt(factor, first, U) + bytes(k)
      addTerms(at, 0, at - bytes(k - first), 0, 4, above, row, k - first, U - k)
      const square = load<f32>(at)
      const pivot: f32 = square > 0 ? sqrt<f32>(square) : 0
      store<f32>(at, pivot)
      divideRow(at + 4, pivot, U - k - 1, false)
      let below = at + row
      for (let j: usize = 4; j < bytes(U - k); j += 4) {
        store<f32>(below, -load<f32>(at + j))
        below += row
      }
    }
    for (let i = end; i < U; i += 2) {
      const to = rowAt(factor, i, U) + bytes(i)
      const from = rowAt(factor, i, U) + bytes(first)
      const above = rowAt(factor, first, U) + bytes(i)
      // The number of the second row that stands below the diagonal is overwritten before it is read.
      addTerms(to, i + 1 < U ? to + row : 0, from, from + row, 4, above, row, end - first, U - i)
    }
  }
  for (let k = 0; k < U; k++) memory.fill(rowAt(factor, k, U), 0, bytes(k))
}

export function solve_cholesky(
  x: usize, // [U, D], may be b
  b: usize, // [U, D]
  factor: usize, // [U, U]
  U: i32,
  D: i32,
): void {
  solve_cholesky_part(x, b, factor, U, D, 0, D)
}

/** Columns from..to of x. */
export function solve_cholesky_part(
  x: usize, // [U, D], may be b
  b: usize, // [U, D]
  factor: usize, // [U, U]
  U: i32,
  D: i32,
  from: i32,
  to: i32,
): void {
  const columns = to - from
  const row = bytes(U)
  const width = bytes(D)
  x += bytes(from)
  b += bytes(from)
  if (x != b) for (let k = 0; k < U; k++) memory.copy(rowAt(x, k, D), rowAt(b, k, D), bytes(columns))
  for (let first = 0; first < U; first += BLOCK) {
    const end = min<i32>(first + BLOCK, U)
    const terms = rowAt(x, first, D)
    for (let k = first; k < end; k++) {
      const at = rowAt(x, k, D)
      addTerms(at, 0, rowAt(factor, first, U) + bytes(k), 0, row, terms, width, k - first, columns)
      divideRow(at, load<f32>(rowAt(factor, k, U) + bytes(k)), columns, true)
    }
    for (let k = end; k < U; k += 2) {
      const at = rowAt(x, k, D)
      const left = rowAt(factor, first, U) + bytes(k)
      addTerms(at, k + 1 < U ? at + width : 0, left, left + 4, row, terms, width, end - first, columns)
    }
  }
  for (let end = U; end > 0;) {
    const first = max<i32>(end - BLOCK, 0)
    // Terms descend: a step is that of a row or a number before.
    const terms = rowAt(x, end - 1, D)
    for (let k = end - 1; k >= first; k--) {
      const at = rowAt(x, k, D)
      const left = rowAt(factor, k, U) + bytes(end - 1)
      addTerms(at, 0, left, 0, -4, terms, 0 - width, end - 1 - k, columns)
      divideRow(at, load<f32>(rowAt(factor, k, U) + bytes(k)), columns, true)
    }
    for (let k = 0; k < first; k += 2) {
      const at = rowAt(x, k, D)
      const left = rowAt(factor, k, U) + bytes(end - 1)
      addTerms(
        at,
        k + 1 < first ? at + width : 0,
        left,
        left + row,
        -4,
        terms,
        0 - width,
        end - first,
        columns,
      )
    }
    end = first
  }
}

/** The row divided by the pivot, or zeros where that is 0; with the other sign where `turned`. */
function divideRow(row: usize, pivot: f32, length: i32, turned: bool): void {
  if (!(pivot > 0)) return memory.fill(row, 0, bytes(length))
  const by = f32x4.splat(pivot)
  const end = row + bytes(length)
  const whole = row + bytes(length & ~3)
  for (; row < whole; row += 16) {
    const quotient = f32x4.div(v128.load(row), by)
    v128.store(row, turned ? f32x4.neg(quotient) : quotient)
  }
  for (; row < end; row += 4) {
    const quotient = load<f32>(row) / pivot
    store<f32>(row, turned ? -quotient : quotient)
  }
}

/**
 * Two rows, or one: y0[n] += sum over k of left0[k] b[k, n], and y1 by left1, k ascending.
 * @param y1 the second row, or null
 * @param leftStep bytes from one factor to the next
 * @param step bytes from one row of b to the next
 */
function addTerms(
  y0: usize,
  y1: usize,
  left0: usize,
  left1: usize,
  leftStep: usize,
  b: usize,
  step: usize,
  terms: i32,
  columns: i32,
): void {
  if (terms == 0) return
  const second = y1 ? y1 : y0
  const leftSecond = y1 ? left1 : left0
  let n: usize = 0
  const end = bytes(columns)
  for (const whole = bytes(columns & ~15); n < whole; n += 64) {
    let a0 = v128.load(y0 + n)
    let a1 = v128.load(y0 + n, 16)
    let a2 = v128.load(y0 + n, 32)
    let a3 = v128.load(y0 + n, 48)
    let b0 = v128.load(second + n)
    let b1 = v128.load(second + n, 16)
    let b2 = v128.load(second + n, 32)
    let b3 = v128.load(second + n, 48)
    let p = left0
    let q = leftSecond
    let from = b + n
    for (let k = 0; k < terms; k++) {
      const x0 = v128.load(from)
      const x1 = v128.load(from, 16)
      const x2 = v128.load(from, 32)
      const x3 = v128.load(from, 48)
      const u = v128.load32_splat(p)
      a0 = f32x4.add(a0, f32x4.mul(u, x0))
      a1 = f32x4.add(a1, f32x4.mul(u, x1))
      a2 = f32x4.add(a2, f32x4.mul(u, x2))
      a3 = f32x4.add(a3, f32x4.mul(u, x3))
      const v = v128.load32_splat(q)
      b0 = f32x4.add(b0, f32x4.mul(v, x0))
      b1 = f32x4.add(b1, f32x4.mul(v, x1))
      b2 = f32x4.add(b2, f32x4.mul(v, x2))
      b3 = f32x4.add(b3, f32x4.mul(v, x3))
      p += leftStep
      q += leftStep
      from += step
    }
    v128.store(y0 + n, a0)
    v128.store(y0 + n, a1, 16)
    v128.store(y0 + n, a2, 32)
    v128.store(y0 + n, a3, 48)
    if (!y1) continue
    v128.store(second + n, b0)
    v128.store(second + n, b1, 16)
    v128.store(second + n, b2, 32)
    v128.store(second + n, b3, 48)
  }
  for (; n < end; n += 4) {
    addColumn(y0 + n, left0, leftStep, b + n, step, terms)
    if (y1) addColumn(y1 + n, left1, leftStep, b + n, step, terms)
  }
}

/** One number of a row. */
function addColumn(y: usize, left: usize, leftStep: usize, b: usize, step: usize, terms: i32): void {
  let sum = load<f32>(y)
  for (let k = 0; k < terms; k++) {
    sum += load<f32>(left) * load<f32>(b)
    left += leftStep
    b += step
  }
  store<f32>(y, sum)
}
