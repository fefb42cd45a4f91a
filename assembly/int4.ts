/**
 * int4 numbers (src/tensor/int4.ts) and the int8 activations they are multiplied by (src/ops/int8_blocks.ts).
 *
 * Four-bit numbers are 0 to 15 and activations at most 127, so the sum of two products fits 16 bits, and so do eight such
 * sums. Where the relaxed instruction for products of bytes is there it is exact, because its second operand is at most 127.
 */
import { largestSize } from './elementwise'
import { bytes } from './float32'
import { nearestSteps } from './quantized_steps'
import { nibbles, shortBlock } from './scratch'
import { f16, prepare } from './storage'

/** Numbers of a block. */
export const BLOCK: i32 = 32
/** Bytes of a block of four rows side by side, and where its pieces of numbers begin. */
export const QUAD: usize = 80

/** Steps an activation may be away from zero. */
export const LEVELS: f32 = 127

/** Whether products are added up in 32 bits: one instruction where a processor has AVX-VNNI, three where not. */
export const ADDS_QUADS: bool = ASC_FEATURE_RELAXED_SIMD && WIDE

/** Has to be called before anything else of this file. */
export function prepareInt4(): void {
  prepare<f16>()
  v128.store(nibbles(), i8x16.splat(15))
}

/** The lower halves of sixteen bytes. @param mask what is at `nibbles()` */
export function lowerHalves(x: v128, mask: v128): v128 {
  return v128.and(x, mask)
}

/** Their upper halves. */
export function upperHalves(x: v128, mask: v128): v128 {
  return v128.and(i16x8.shr_u(x, 4), mask)
}

/** q[2i] n[2i] + q[2i + 1] n[2i + 1] for eight pairs of bytes, as int16. @param n each 0 to 15 */
export function pairSums(q: v128, n: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(q, n)
  const even = i16x8.mul(i16x8.shr_s(i16x8.shl(q, 8), 8), i16x8.shr_u(i16x8.shl(n, 8), 8))
  return i16x8.add(even, i16x8.mul(i16x8.shr_s(q, 8), i16x8.shr_u(n, 8)))
}

/** Products of bytes, added up to four int32, or to two int16 for each of them. @param n each 0 to 15 */
export function byteProducts(q: v128, n: v128): v128 {
  return ADDS_QUADS ? i32x4.relaxed_dot_i8x16_i7x16_add_s(q, n, i32x4.splat(0)) : pairSums(q, n)
}

/** sums + `byteProducts`, of a block at most. */
export function addByteProducts(sums: v128, q: v128, n: v128): v128 {
  return ADDS_QUADS ? i32x4.relaxed_dot_i8x16_i7x16_add_s(q, n, sums) : i16x8.add(sums, pairSums(q, n))
}

/** The sums of both. */
export function addByteSums(a: v128, b: v128): v128 {
  return ADDS_QUADS ? i32x4.add(a, b) : i16x8.add(a, b)
}

/** Such sums as four int32. */
export function wholeSums(sums: v128): v128 {
  return ADDS_QUADS ? sums : i32x4.extadd_pairwise_i16x8_s(sums)
}

/** Four numbers of half precision, in units (storage.ts). @param places what is at `halfPlaces()` */
export function fourHalves(at: usize, places: v128): v128 {
  return v128.and(i32x4.shl(v128.load16x4_s(at), 13), places)
}

/** (scale step) product + minimum sum of four outputs. */
export function fourTerms(scales: v128, step: v128, products: v128, minima: v128, sum: v128): v128 {
  const scaled = f32x4.mul(f32x4.mul(scales, step), f32x4.convert_i32x4_s(products))
  return f32x4.add(scaled, f32x4.mul(minima, sum))
}

/** Rounds a token in blocks. The last block is filled with zeros. */
export function roundBlocks(
  q: usize, // [B, 32] i8
  steps: usize, // [B]
  sums: usize, // [B]
  x: usize, // [I]
  I: i32,
): void {
  for (let i = 0; i < I; i += BLOCK) {
    roundBlock(q, steps, sums, x + bytes(i), min<i32>(BLOCK, I - i))
    q += BLOCK
    steps += 4
    sums += 4
  }
}

/** Rounds at most 32 numbers; writes 32, and the step and its product with their sum. Returns the sum of their sizes. */
export function roundBlock(q: usize, step: usize, sum: usize, x: usize, length: i32): i32 {
  if (length < BLOCK) {
    memory.fill(shortBlock(), 0, bytes(BLOCK))
    memory.copy(shortBlock(), x, bytes(length))
    x = shortBlock()
  }
  const unit = largestSize(x, BLOCK) / LEVELS
  const steps = f32x4.splat(unit)
  const most = f32x4.splat(LEVELS)
  let total = i32x4.splat(0)
  let size = i32x4.splat(0)
  for (let i = 0; i < BLOCK; i += 16) {
    const a = nearestSteps(v128.load(x), steps, most)
    const b = nearestSteps(v128.load(x, 16), steps, most)
    const c = nearestSteps(v128.load(x, 32), steps, most)
    const d = nearestSteps(v128.load(x, 48), steps, most)
    total = i32x4.add(total, i32x4.add(i32x4.add(a, b), i32x4.add(c, d)))
    size = i32x4.add(size, i32x4.add(i32x4.abs(a), i32x4.abs(b)))
    size = i32x4.add(size, i32x4.add(i32x4.abs(c), i32x4.abs(d)))
    v128.store(q, i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)))
    x += 64
    q += 16
  }
  store<f32>(step, unit)
  store<f32>(sum, unit * <f32>laneSum(total))
  return laneSum(size)
}

function laneSum(x: v128): i32 {
  const two = i32x4.add(x, v128.shuffle<i32>(x, x, 2, 3, 0, 1))
  return i32x4.extract_lane(two, 0) + i32x4.extract_lane(two, 1)
}

/** Copies a row to the place of another, each one of four side by side. */
export function copyInterleavedRow(to: usize, slot: i32, from: usize, row: i32, B: i32): void {
  to += <usize>(slot >> 2) * <usize>B * QUAD
  from += <usize>(row >> 2) * <usize>B * QUAD
  const toHalf = to + ((<usize>(slot & 3)) << 1)
  const fromHalf = from + ((<usize>(row & 3)) << 1)
  to += 16 + bytes(slot & 3)
  from += 16 + bytes(row & 3)
  for (let at: usize = 0, end = <usize>B * QUAD; at < end; at += QUAD) {
    store<u16>(toHalf + at, load<u16>(fromHalf + at))
    store<u16>(toHalf + at, load<u16>(fromHalf + at, 8), 8)
    store<u32>(to + at, load<u32>(from + at))
    store<u32>(to + at, load<u32>(from + at, 16), 16)
    store<u32>(to + at, load<u32>(from + at, 32), 32)
    store<u32>(to + at, load<u32>(from + at, 48), 48)
  }
}
