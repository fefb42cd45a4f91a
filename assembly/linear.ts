/**
 * linear: y[t, o] = <x[t], weight[o]> + bias[o] for chosen rows o, +0 for the others; a striped dot each.
 *
 * Few tokens: the rows stream past, from three places of the matrix at once, a third of the way apart: on the machines
 * tried that is faster than one stream, and than rows that are neighbours (bench/README.md). Several: linear_tile.ts.
 */
import { addArrays } from './elementwise'
import { bytes, dot, dotThree } from './float32'
import { isTiled, linearTiled } from './linear_tile'
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
  linear_part(y, x, weight, bias, rows, T, O, I, R, 0, rows ? R : O)
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
  if (rows) {
    clearOwned(y, rows, T, O, 1, R, from, to)
    multiply(y, x, weight, bias, rows + bytes(from), T, O, I, to - from)
  } else {
    const ownBias = bias ? bias + bytes(from) : 0
    multiply(y + bytes(from), x, rowAt(weight, from, I), ownBias, 0, T, O, I, to - from)
  }
}

/** The first `count` rows of the matrix, or of the list. */
function multiply(
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
    linearTiled(y, x, weight, bias, rows, T, O, I, count)
    return
  }
  const third = count / 3
  for (let r = 0; r < third; r++) {
    const o0 = unitAt(rows, r)
    const o1 = unitAt(rows, r + third)
    const o2 = unitAt(rows, r + third * 2)
    const w0 = rowAt(weight, o0, I)
    const w1 = rowAt(weight, o1, I)
    const w2 = rowAt(weight, o2, I)
    for (let t = 0; t < T; t++) {
      const to = rowAt(y, t, O)
      dotThree(to + bytes(o0), to + bytes(o1), to + bytes(o2), rowAt(x, t, I), w0, w1, w2, I)
    }
  }
  for (let r = third * 3; r < count; r++) {
    const o = unitAt(rows, r)
    for (let t = 0; t < T; t++)
      store<f32>(rowAt(y, t, O) + bytes(o), dot(rowAt(x, t, I), rowAt(weight, o, I), I))
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
