/**
 * linear: y[t, o] = <x[t], weight[o]> + bias[o] for chosen rows o, +0 for the others; a striped dot each.
 *
 * Few tokens: the rows stream past, from three places of the matrix at once, a third of the way apart: on the machines
 * tried that is faster than one stream, and than rows that are neighbours (bench/README.md). Several: linear_tile.ts.
 */
import { bytes, combine, dot, STRIPE, wholeStripes } from './float32'
import { isTiled, linearTiled } from './linear_tile'
import { rowAt, unitAt } from './units'

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
  const count = rows ? R : O
  if (rows) memory.fill(y, 0, <usize>T * bytes(O))
  if (isTiled(T, I, count)) {
    linearTiled(y, x, weight, bias, rows, T, O, I, count)
    return
  }
  const third = count / 3
  for (let r = 0; r < third; r++) {
    const o0 = unitAt(rows, r)
    const o1 = unitAt(rows, r + third)
    const o2 = unitAt(rows, r + third * 2)
    for (let t = 0; t < T; t++) dotThreeRows(rowAt(y, t, O), rowAt(x, t, I), weight, bias, o0, o1, o2, I)
  }
  for (let r = third * 3; r < count; r++) {
    const o = unitAt(rows, r)
    for (let t = 0; t < T; t++) {
      const value = dot(rowAt(x, t, I), rowAt(weight, o, I), I)
      store<f32>(rowAt(y, t, O) + bytes(o), value + biasAt(bias, o))
    }
  }
}

/** The bias of a row; +0 where there is none, which changes nothing: a striped dot is never -0. */
function biasAt(bias: usize, o: i32): f32 {
  return bias ? load<f32>(bias + bytes(o)) : 0
}

/** The outputs of one token for three rows: three times `dot`, side by side. */
function dotThreeRows(
  y: usize,
  x: usize,
  weight: usize,
  bias: usize,
  o0: i32,
  o1: i32,
  o2: i32,
  I: i32,
): void {
  let w0 = rowAt(weight, o0, I)
  let w1 = rowAt(weight, o1, I)
  let w2 = rowAt(weight, o2, I)
  const end = x + bytes(I)
  const whole = x + wholeStripes(I)
  let a00 = f32x4.splat(0)
  let a01 = f32x4.splat(0)
  let a02 = f32x4.splat(0)
  let a03 = f32x4.splat(0)
  let a10 = f32x4.splat(0)
  let a11 = f32x4.splat(0)
  let a12 = f32x4.splat(0)
  let a13 = f32x4.splat(0)
  let a20 = f32x4.splat(0)
  let a21 = f32x4.splat(0)
  let a22 = f32x4.splat(0)
  let a23 = f32x4.splat(0)
  while (x < whole) {
    const x0 = v128.load(x)
    a00 = f32x4.add(a00, f32x4.mul(x0, v128.load(w0)))
    a10 = f32x4.add(a10, f32x4.mul(x0, v128.load(w1)))
    a20 = f32x4.add(a20, f32x4.mul(x0, v128.load(w2)))
    const x1 = v128.load(x, 16)
    a01 = f32x4.add(a01, f32x4.mul(x1, v128.load(w0, 16)))
    a11 = f32x4.add(a11, f32x4.mul(x1, v128.load(w1, 16)))
    a21 = f32x4.add(a21, f32x4.mul(x1, v128.load(w2, 16)))
    const x2 = v128.load(x, 32)
    a02 = f32x4.add(a02, f32x4.mul(x2, v128.load(w0, 32)))
    a12 = f32x4.add(a12, f32x4.mul(x2, v128.load(w1, 32)))
    a22 = f32x4.add(a22, f32x4.mul(x2, v128.load(w2, 32)))
    const x3 = v128.load(x, 48)
    a03 = f32x4.add(a03, f32x4.mul(x3, v128.load(w0, 48)))
    a13 = f32x4.add(a13, f32x4.mul(x3, v128.load(w1, 48)))
    a23 = f32x4.add(a23, f32x4.mul(x3, v128.load(w2, 48)))
    x += STRIPE
    w0 += STRIPE
    w1 += STRIPE
    w2 += STRIPE
  }
  let value0 = combine(a00, a01, a02, a03)
  let value1 = combine(a10, a11, a12, a13)
  let value2 = combine(a20, a21, a22, a23)
  while (x < end) {
    const factor = load<f32>(x)
    value0 += factor * load<f32>(w0)
    value1 += factor * load<f32>(w1)
    value2 += factor * load<f32>(w2)
    x += 4
    w0 += 4
    w1 += 4
    w2 += 4
  }
  store<f32>(y + bytes(o0), value0 + biasAt(bias, o0))
  store<f32>(y + bytes(o1), value1 + biasAt(bias, o1))
  store<f32>(y + bytes(o2), value2 + biasAt(bias, o2))
}
