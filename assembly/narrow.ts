/**
 * narrow_bf16, narrow_f16: float32 rounded to half precision, ties to even, as src/tensor/dtypes.ts does it. Four numbers
 * at a time as integers; a NaN keeps what fits of its payload.
 */
import { bytes, wholeQuads } from './float32'

export function narrow_bf16(
  y: usize, // [N] bf16
  x: usize, // [N]
  N: i32,
): void {
  const end = x + bytes(N)
  const whole = x + wholeQuads(N)
  for (; x < whole; x += 16, y += 8) v128.store64_lane(y, packed(toBf16(v128.load(x))), 0)
  for (; x < end; x += 4, y += 2) v128.store16_lane(y, packed(toBf16(v128.load32_zero(x))), 0)
}

export function narrow_f16(
  y: usize, // [N] f16
  x: usize, // [N]
  N: i32,
): void {
  const end = x + bytes(N)
  const whole = x + wholeQuads(N)
  for (; x < whole; x += 16, y += 8) v128.store64_lane(y, packed(toF16(v128.load(x))), 0)
  for (; x < end; x += 4, y += 2) v128.store16_lane(y, packed(toF16(v128.load32_zero(x))), 0)
}

/** Four integers below 2^16 as the first four of eight. */
function packed(patterns: v128): v128 {
  return i16x8.narrow_i32x4_u(patterns, patterns)
}

/** Every bit is set where a number is NaN. */
function isNaN4(size: v128): v128 {
  return i32x4.gt_s(size, i32x4.splat(0x7f800000))
}

/** What is cut off rounds up if it is more than half, or half and the last bit kept is odd. */
function rounded(x: v128, dropped: i32): v128 {
  const odd = v128.and(i32x4.shr_u(x, dropped), i32x4.splat(1))
  const almostHalf = i32x4.splat((1 << (dropped - 1)) - 1)
  return i32x4.shr_u(i32x4.add(i32x4.add(x, almostHalf), odd), dropped)
}

function toBf16(x: v128): v128 {
  const size = v128.and(x, i32x4.splat(0x7fffffff))
  const high = i32x4.shr_u(x, 16)
  // A NaN whose payload does not fit would become an infinity.
  const lacks = i32x4.eq(v128.and(high, i32x4.splat(0x7f)), i32x4.splat(0))
  const nan = v128.or(high, v128.and(lacks, i32x4.splat(0x40)))
  return v128.bitselect(nan, rounded(x, 16), isNaN4(size))
}

function toF16(x: v128): v128 {
  const size = v128.and(x, i32x4.splat(0x7fffffff))
  const sign = v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000))
  const normal = rounded(i32x4.sub(size, i32x4.splat(0x38000000)), 13)
  // Below 2^-14: added to a half, whose last bit is 2^-24, a number is rounded to a subnormal f16.
  const half = f32x4.splat(0.5)
  const subnormal = i32x4.sub(f32x4.add(size, half), half)
  const payload = v128.and(i32x4.shr_u(size, 13), i32x4.splat(0x3ff))
  const lacks = i32x4.eq(payload, i32x4.splat(0))
  const nan = v128.or(v128.or(payload, v128.and(lacks, i32x4.splat(0x200))), i32x4.splat(0x7c00))
  let y = v128.bitselect(subnormal, normal, i32x4.lt_s(size, i32x4.splat(0x38800000)))
  y = v128.bitselect(i32x4.splat(0x7c00), y, i32x4.ge_s(size, i32x4.splat(0x477ff000)))
  y = v128.bitselect(nan, y, isNaN4(size))
  return v128.or(sign, y)
}
