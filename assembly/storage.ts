/**
 * How weights are stored, as a type parameter: `dot<bf16>` is `dot` over weights in bf16. The parameter is resolved when
 * the module is compiled, so nothing is decided while a kernel runs. f32, bf16 and f16 are widened to float32 as they are
 * read; widening is exact.
 *
 * A stored f16 whose bits are moved to their places in a float32 stands there as 2^-112 times itself, subnormals included.
 * What `quad0` to `quad3` read is therefore in units: numbers = inUnits(quads). A product may take its factor in units
 * instead, as long as that stays finite (`fitsUnits`): the bits are the same, because both factors are exact.
 */
import { halfPlaces, halfUnits } from './scratch'

/** bfloat16: the upper half of a float32. One of the compiler's own types has to stand for it. */
export type bf16 = u16

/** Half precision of IEEE 754. One of the compiler's own types has to stand for it. */
export type f16 = i16

/** Sign and magnitude of an f16 in their places of a float32. */
const PLACES: i32 = <i32>0x8fffe000

/** What a float32 with an f16's exponent has to be multiplied by: their biases are 15 and 127. */
const UNIT: f32 = 5.192296858534828e33 // 2^112

/** Has to be called before anything of W is read. Engines make a constant vector anew wherever it is used; a load is less. */
export function prepare<W>(): void {
  if (isF16<W>()) {
    v128.store(halfPlaces(), i32x4.splat(PLACES))
    v128.store(halfUnits(), f32x4.splat(UNIT))
  }
}

function isF16<W>(): bool {
  return isSigned<W>() && sizeof<W>() == 2
}

/** Whether W is int8, which is multiplied in pairs (int16_pairs.ts). */
export function isPaired<W>(): bool {
  return sizeof<W>() == 1 && isSigned<W>()
}

/** An opened int4 number (int4.ts). One of the compiler's own types has to stand for it. */
export type opened = u8

/** Whether W is opened int4, which is multiplied by bytes (int4.ts). */
export function isOpened<W>(): bool {
  return sizeof<W>() == 1 && !isSigned<W>()
}

/** The address of row `row` of a matrix of stored numbers. */
export function storedRow<W>(matrix: usize, row: i32, width: i32): usize {
  return matrix + <usize>row * <usize>width * sizeof<W>()
}

/** What a number in units has to be multiplied by. */
export function unit<W>(): f32 {
  return isF16<W>() ? UNIT : 1
}

/** Whether a number may be taken in units: all but finite ones that would not stay finite. */
export function fitsUnits<W>(x: f32): bool {
  return abs<f32>(x * unit<W>()) < Infinity || !(abs<f32>(x) < Infinity)
}

/** One number. */
export function one<W>(at: usize): f32 {
  if (isFloat<W>()) return load<f32>(at)
  if (isF16<W>()) return reinterpret<f32>(((<i32>load<i16>(at)) << 13) & PLACES) * UNIT
  return reinterpret<f32>((<u32>load<u16>(at)) << 16)
}

/** Numbers 0 to 3 of those at an address, in units. */
export function quad0<W>(at: usize): v128 {
  if (isFloat<W>()) return v128.load(at)
  if (isF16<W>()) return placed(v128.load16x4_s(at))
  return WIDE ? i32x4.shl(v128.load16x4_u(at), 16) : lower(v128.load(at))
}

/** Numbers 4 to 7, in units. */
export function quad1<W>(at: usize): v128 {
  if (isFloat<W>()) return v128.load(at, 16)
  if (isF16<W>()) return placed(v128.load16x4_s(at, 8))
  return WIDE ? i32x4.shl(v128.load16x4_u(at, 8), 16) : upper(v128.load(at))
}

/** Numbers 8 to 11, in units. */
export function quad2<W>(at: usize): v128 {
  if (isFloat<W>()) return v128.load(at, 32)
  if (isF16<W>()) return placed(v128.load16x4_s(at, 16))
  return WIDE ? i32x4.shl(v128.load16x4_u(at, 16), 16) : lower(v128.load(at, 16))
}

/** Numbers 12 to 15, in units. */
export function quad3<W>(at: usize): v128 {
  if (isFloat<W>()) return v128.load(at, 48)
  if (isF16<W>()) return placed(v128.load16x4_s(at, 24))
  return WIDE ? i32x4.shl(v128.load16x4_u(at, 24), 16) : upper(v128.load(at, 16))
}

/** What is in units as numbers, or numbers in units: times the unit. */
export function inUnits<W>(x: v128): v128 {
  return isF16<W>() ? f32x4.mul(x, v128.load(halfUnits())) : x
}

/** Four f16, as the lower halves of four integers, in their places. */
function placed(x: v128): v128 {
  return v128.and(i32x4.shl(x, 13), v128.load(halfPlaces()))
}

/** The first four of eight bf16. */
function lower(x: v128): v128 {
  return v128.shuffle<i16>(i32x4.splat(0), x, 0, 8, 1, 9, 2, 10, 3, 11)
}

/** The last four of eight bf16. */
function upper(x: v128): v128 {
  return v128.shuffle<i16>(i32x4.splat(0), x, 4, 12, 5, 13, 6, 14, 7, 15)
}
