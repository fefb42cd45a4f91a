/**
 * cholesky: the upper triangle R with A = Rᵀ R. solve_cholesky: the X with Rᵀ R X = B.
 *
 * Rows are worked off in halves: the first half is finished, its terms are added to the second half as a product of matrices
 * (outer_product.ts), and the second half is finished. Few rows are finished one after the other. So tiles add most terms, and the
 * order of each sum is that of the definition. Products are rounded in every build.
 */
import { bytes } from './float32'
import { addOuterProducts } from './outer_product'
import { rounded } from './tile'
import { rowAt } from './units'

/** At most this many rows are finished one after the other. */
const FEW: i32 = 24
/** Rows of a strip on the diagonal: half of what is computed there is below it and not needed. */
const STRIP: i32 = 60
/** Rows and columns that are turned at a time. */
const SQUARE: i32 = 16

export function cholesky(
  factor: usize, // [U, U], may be a
  a: usize, // [U, U]
  U: i32,
): void {
  if (factor != a) memory.copy(factor, a, bytes(U) * <usize>U)
  factorRows(factor, 0, U, U)
  for (let k = 0; k < U; k++) memory.fill(rowAt(factor, k, U), 0, bytes(k))
}

/** Finishes rows first..end, to which the terms of those before were added. */
function factorRows(factor: usize, first: i32, end: i32, U: i32): void {
  if (end - first > FEW) {
    const middle = (first + end) >> 1
    factorRows(factor, first, middle, U)
    for (let i = middle; i < end; i += STRIP)
      addToStrip(factor, first, middle, i, min<i32>(i + STRIP, end), U)
    return factorRows(factor, middle, end, U)
  }
  const row = bytes(U)
  for (let k = first; k < end; k++) {
    const at = rowAt(factor, k, U) + bytes(k)
    const above = rowAt(factor, first, U) + bytes(k)
    addTerms(at, at - bytes(k - first), 4, above, row, k - first, U - k)
    const square = load<f32>(at)
    const pivot: f32 = square > 0 ? sqrt<f32>(square) : 0
    store<f32>(at, pivot)
    divideRow(at + 4, pivot, U - k - 1, false)
    turnNegated(factor, k, k + 1, k + 1, end, U)
  }
}

/** Adds the terms of rows first..middle to rows from..to. What is added below the diagonal is overwritten before it is read. */
function addToStrip(factor: usize, first: i32, middle: i32, from: i32, to: i32, U: i32): void {
  turnNegated(factor, first, middle, from, to, U)
  const place = rowAt(factor, from, U)
  const above = rowAt(factor, first, U) + bytes(from)
  addProducts(
    place + bytes(from),
    U,
    place + bytes(first),
    U,
    1,
    above,
    U,
    to - from,
    U - from,
    middle - first,
  )
}

/** Writes -R[k, i] to [i, k], below the diagonal, for k of first..end and i of from..to. */
function turnNegated(factor: usize, first: i32, end: i32, from: i32, to: i32, U: i32): void {
  for (let left = first; left < end; left += SQUARE) {
    const right = min<i32>(left + SQUARE, end)
    for (let i = from; i < to; i++) {
      let at = rowAt(factor, left, U) + bytes(i)
      for (let k = left; k < right; k++) {
        store<f32>(rowAt(factor, i, U) + bytes(k), -load<f32>(at))
        at += bytes(U)
      }
    }
  }
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
  x += bytes(from)
  b += bytes(from)
  if (x != b) for (let k = 0; k < U; k++) memory.copy(rowAt(x, k, D), rowAt(b, k, D), bytes(columns))
  solveDown(x, factor, 0, U, U, D, columns)
  solveUp(x, factor, 0, U, U, D, columns)
}

/** Z of rows first..end, to which the terms of those before were added. */
function solveDown(x: usize, factor: usize, first: i32, end: i32, U: i32, D: i32, columns: i32): void {
  const terms = rowAt(x, first, D)
  if (end - first > FEW) {
    const middle = (first + end) >> 1
    solveDown(x, factor, first, middle, U, D, columns)
    const left = rowAt(factor, first, U) + bytes(middle)
    addProducts(rowAt(x, middle, D), D, left, 1, U, terms, D, end - middle, columns, middle - first)
    return solveDown(x, factor, middle, end, U, D, columns)
  }
  for (let k = first; k < end; k++) {
    const at = rowAt(x, k, D)
    addTerms(at, rowAt(factor, first, U) + bytes(k), bytes(U), terms, bytes(D), k - first, columns)
    divideRow(at, load<f32>(rowAt(factor, k, U) + bytes(k)), columns, true)
  }
}

/**
 * X of rows first..end, to which the terms of those behind were added. Terms descend: a step leads to the row or the number
 * before.
 */
function solveUp(x: usize, factor: usize, first: i32, end: i32, U: i32, D: i32, columns: i32): void {
  const terms = rowAt(x, end - 1, D)
  if (end - first > FEW) {
    const middle = (first + end) >> 1
    solveUp(x, factor, middle, end, U, D, columns)
    const left = rowAt(factor, first, U) + bytes(end - 1)
    addProducts(rowAt(x, first, D), D, left, U, -1, terms, -D, middle - first, columns, end - middle)
    return solveUp(x, factor, first, middle, U, D, columns)
  }
  for (let k = end - 1; k >= first; k--) {
    const at = rowAt(x, k, D)
    const left = rowAt(factor, k, U) + bytes(end - 1)
    addTerms(at, left, -4, terms, 0 - bytes(D), end - 1 - k, columns)
    divideRow(at, load<f32>(rowAt(factor, k, U) + bytes(k)), columns, true)
  }
}

/** Products of a block of terms, added in their order, each rounded. The arguments are those of addOuterProducts. */
function addProducts(
  c: usize,
  cWidth: i32,
  a: usize,
  aM: i32,
  aK: i32,
  b: usize,
  bWidth: i32,
  M: i32,
  N: i32,
  K: i32,
): void {
  addOuterProducts<f32, rounded>(c, 0, cWidth, a, aM, aK, b, bWidth, 0, M, N, K)
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
 * y[n] += sum over k of left[k] b[k, n], k ascending.
 * @param leftStep bytes from one factor to the next
 * @param step bytes from one row of b to the next
 */
function addTerms(
  y: usize,
  left: usize,
  leftStep: usize,
  b: usize,
  step: usize,
  terms: i32,
  columns: i32,
): void {
  let n: usize = 0
  const end = bytes(columns)
  for (const whole = bytes(columns & ~31); n < whole; n += 128) {
    let a0 = v128.load(y + n)
    let a1 = v128.load(y + n, 16)
    let a2 = v128.load(y + n, 32)
    let a3 = v128.load(y + n, 48)
    let a4 = v128.load(y + n, 64)
    let a5 = v128.load(y + n, 80)
    let a6 = v128.load(y + n, 96)
    let a7 = v128.load(y + n, 112)
    let p = left
    let from = b + n
    for (let k = 0; k < terms; k++) {
      const u = v128.load32_splat(p)
      a0 = f32x4.add(a0, f32x4.mul(u, v128.load(from)))
      a1 = f32x4.add(a1, f32x4.mul(u, v128.load(from, 16)))
      a2 = f32x4.add(a2, f32x4.mul(u, v128.load(from, 32)))
      a3 = f32x4.add(a3, f32x4.mul(u, v128.load(from, 48)))
      a4 = f32x4.add(a4, f32x4.mul(u, v128.load(from, 64)))
      a5 = f32x4.add(a5, f32x4.mul(u, v128.load(from, 80)))
      a6 = f32x4.add(a6, f32x4.mul(u, v128.load(from, 96)))
      a7 = f32x4.add(a7, f32x4.mul(u, v128.load(from, 112)))
      p += leftStep
      from += step
    }
    // The upper half first, as in tile.ts.
    v128.store(y + n, a1, 16)
    v128.store(y + n, a0)
    v128.store(y + n, a3, 48)
    v128.store(y + n, a2, 32)
    v128.store(y + n, a5, 80)
    v128.store(y + n, a4, 64)
    v128.store(y + n, a7, 112)
    v128.store(y + n, a6, 96)
  }
  for (const whole = bytes(columns & ~3); n < whole; n += 16) {
    let a0 = v128.load(y + n)
    let p = left
    let from = b + n
    for (let k = 0; k < terms; k++) {
      a0 = f32x4.add(a0, f32x4.mul(v128.load32_splat(p), v128.load(from)))
      p += leftStep
      from += step
    }
    v128.store(y + n, a0)
  }
  for (; n < end; n += 4) {
    let sum = load<f32>(y + n)
    let p = left
    let from = b + n
    for (let k = 0; k < terms; k++) {
      sum += load<f32>(p) * load<f32>(from)
      p += leftStep
      from += step
    }
    store<f32>(y + n, sum)
  }
}
