/**
 * What arithmetic gives: multiply-adds whose operands stay in registers. Compiled by bench/arithmetic.ts, and no part of
 * the module (assembly/index.ts).
 *
 * Several sums hide how long one addition takes; one more than there are here, and they would not all be in registers. Their
 * terms are products of four numbers that change places, so that none can be computed once for all.
 */
import { madd } from '../float32'

/** Multiply-adds of vectors per turn of `floats`: a fused one takes longer, and needs no register for the product. */
export const FLOATS_PER_TURN: i32 = FUSES ? 8 : 7

/** Multiply-adds of four float32 each: as the kernels do them, rounded twice or in the relaxed build as it comes. */
export function floats(turns: i32): f32 {
  let a = f32x4.splat(0.5)
  let b = f32x4.splat(0.25)
  let c = f32x4.splat(-0.5)
  let d = f32x4.splat(-0.25)
  let s0 = f32x4.splat(0)
  let s1 = f32x4.splat(0)
  let s2 = f32x4.splat(0)
  let s3 = f32x4.splat(0)
  let s4 = f32x4.splat(0)
  let s5 = f32x4.splat(0)
  let s6 = f32x4.splat(0)
  let s7 = f32x4.splat(0)
  for (let turn = 0; turn < turns; turn++) {
    s0 = madd(s0, a, b)
    s1 = madd(s1, a, c)
    s2 = madd(s2, a, d)
    s3 = madd(s3, b, c)
    s4 = madd(s4, b, d)
    s5 = madd(s5, c, d)
    s6 = madd(s6, a, a)
    if (FUSES) s7 = madd(s7, b, b)
    const first = a
    a = b
    b = c
    c = d
    d = first
  }
  const sums = f32x4.add(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)), f32x4.add(f32x4.add(s4, s5), s6))
  return f32x4.extract_lane(FUSES ? f32x4.add(sums, s7) : sums, 0)
}

/** Multiply-adds of vectors per turn of `integers`. */
export const INTEGERS_PER_TURN: i32 = 7

function dot(sum: v128, a: v128, b: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(a, b))
}

/** Multiply-adds of eight int16 each, added in pairs to int32. */
export function integers(turns: i32): i32 {
  let a = i16x8.splat(3)
  let b = i16x8.splat(-5)
  let c = i16x8.splat(7)
  let d = i16x8.splat(-2)
  let s0 = i32x4.splat(0)
  let s1 = i32x4.splat(0)
  let s2 = i32x4.splat(0)
  let s3 = i32x4.splat(0)
  let s4 = i32x4.splat(0)
  let s5 = i32x4.splat(0)
  let s6 = i32x4.splat(0)
  for (let turn = 0; turn < turns; turn++) {
    s0 = dot(s0, a, b)
    s1 = dot(s1, a, c)
    s2 = dot(s2, a, d)
    s3 = dot(s3, b, c)
    s4 = dot(s4, b, d)
    s5 = dot(s5, c, d)
    s6 = dot(s6, a, a)
    const first = a
    a = b
    b = c
    c = d
    d = first
  }
  const sums = i32x4.add(i32x4.add(i32x4.add(s0, s1), i32x4.add(s2, s3)), i32x4.add(i32x4.add(s4, s5), s6))
  return i32x4.extract_lane(sums, 0)
}
