/**
 * linear: y[t, o] = <x[t], weight[o]> + bias[o] for chosen rows o, +0 for the others; a striped dot each.
 *
 * linear_bf16, linear_f16: the same over weights in half precision.
 *
 * Few tokens: rows are read in three streams at once, a third of the matrix apart. On the tested machines that is faster
 * than one stream, and than neighbouring rows (bench/README.md). Several: linear_tile.ts.
 */
import { addArrays, allFitUnits } from './elementwise'
import { bytes, dot, dotThree } from './float32'
import { isTiled, linearTiled } from './linear_tile'
import { bf16, f16, prepare, storedRow } from './storage'
import { addChosen, clearOwned, rowAt, unitAt } from './units'

export function linear(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I]
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  overRows<f32>(y, x, weight, bias, rows, T, O, I, R, 0, rows ? R : O)
}

/** What rows from..to of the matrix give, or entries from..to of the list. */
export function linear_part(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I]
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  overRows<f32>(y, x, weight, bias, rows, T, O, I, R, from, to)
}

export function linear_bf16(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I] bf16
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  overRows<bf16>(y, x, weight, bias, rows, T, O, I, R, 0, rows ? R : O)
}

/** What rows from..to of the matrix give, or entries from..to of the list. */
export function linear_bf16_part(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I] bf16
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  overRows<bf16>(y, x, weight, bias, rows, T, O, I, R, from, to)
}

export function linear_f16(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I] f16
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  overRows<f16>(y, x, weight, bias, rows, T, O, I, R, 0, rows ? R : O)
}

/** What rows from..to of the matrix give, or entries from..to of the list. */
export function linear_f16_part(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I] f16
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  overRows<f16>(y, x, weight, bias, rows, T, O, I, R, from, to)
}

function overRows<W>(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [O, I]
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  prepare<W>()
  if (rows) {
    clearOwned(y, rows, T, O, 1, R, from, to)
    multiply<W>(y, x, weight, bias, rows + bytes(from), T, O, I, to - from)
  } else {
    const ownBias = bias ? bias + bytes(from) : 0
    multiply<W>(y + bytes(from), x, storedRow<W>(weight, from, I), ownBias, 0, T, O, I, to - from)
  }
}

/** The first `count` rows of the matrix, or of the list. */
function multiply<W>(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize,
  bias: usize,
  rows: usize,
  T: i32,
  O: i32,
  I: i32,
  count: i32,
): void {
  if (isTiled(T, I, count)) {
    linearTiled<W>(y, x, weight, bias, rows, T, O, I, count)
    return
  }
  const third = allFitUnits<W>(x, T, I) ? count / 3 : 0
  for (let r = 0; r < third; r++) {
    const o0 = unitAt(rows, r)
    const o1 = unitAt(rows, r + third)
    const o2 = unitAt(rows, r + third * 2)
    const w0 = storedRow<W>(weight, o0, I)
    const w1 = storedRow<W>(weight, o1, I)
    const w2 = storedRow<W>(weight, o2, I)
    for (let t = 0; t < T; t++) {
      const to = rowAt(y, t, O)
      dotThree<W>(to + bytes(o0), to + bytes(o1), to + bytes(o2), rowAt(x, t, I), w0, w1, w2, I)
    }
  }
  for (let r = third * 3; r < count; r++) {
    const o = unitAt(rows, r)
    for (let t = 0; t < T; t++)
      store<f32>(rowAt(y, t, O) + bytes(o), dot<W>(rowAt(x, t, I), storedRow<W>(weight, o, I), I))
  }
  if (bias) addBiases(y, bias, rows, T, O, count)
}

function addBiases(y: usize, bias: usize, rows: usize, T: i32, O: i32, count: i32): void {
  for (let t = 0; t < T; t++) {
    const to = rowAt(y, t, O)
    if (!rows) addArrays(to, to, bias, count)
    else addChosen(to, bias, rows, count)
  }
}
