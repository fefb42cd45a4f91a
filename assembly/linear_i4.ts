/**
 * linear_i4: y[t, o] = sum over blocks b of ((scale[o, b] step[t, b]) <q[t, b], n[o, b]> + minimum[o, b] sum[t, b]) + bias[o]
 * for chosen rows o, +0 for the others.
 *
 * Four rows lie side by side, so a register holds four bytes of each, and meets four activations that are the same for all:
 * a lane is a row, and nothing is added across lanes. One token: two fours at a time, from two places of the matrix half
 * of it apart. Few: the same, or the numbers of a block are opened once, for all tokens. Several: linear_i4_tile.ts. Chosen rows that are
 * no four are copied together first.
 */
import { largestSize, scaleArray } from './elementwise'
import { bytes } from './float32'
import {
  addByteProducts,
  addByteSums,
  BLOCK,
  byteProducts,
  fourHalves,
  fourTerms,
  lowerHalves,
  pairSums,
  prepareInt4,
  QUAD,
  roundBlocks,
  upperHalves,
  wholeSums,
} from './int4'
import { finish, fourRows, numbersOf, stepsOf, sumsOf } from './int4_rows'
import { isTiled, multiplyTiled } from './linear_i4_tile'
import { halfPlaces, nibbles, tileSums } from './scratch'
import { f16, inUnits, unit } from './storage'
import { clearOwned, rowAt } from './units'

/** Rounded numbers of the tokens that are taken together, at most. */
const MOST_NUMBERS: i32 = 131072
/** At most this many tokens. */
const MOST_TOKENS: i32 = 64
/** Up to this many tokens take rows one after the other: where vectors are joined, that is faster than opening numbers once. */
const MOST_EACH: i32 = WIDE ? 3 : 1

export function linear_i4(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [G, B, 80]
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  G: i32,
  B: i32,
): void {
  linear_i4_part(y, x, weight, bias, rows, T, O, I, R, G, B, 0, rows ? R : O)
}

/** What rows from..to of the matrix give, from a multiple of 4; or entries from..to of the list. */
export function linear_i4_part(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [G, B, 80]
  bias: usize, // [O] or null
  rows: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  G: i32,
  B: i32,
  from: i32,
  to: i32,
): void {
  const count = to - from
  if (rows) {
    clearOwned(y, rows, T, O, 1, R, from, to)
    rows += bytes(from)
  } else {
    y += bytes(from)
    weight += <usize>(from >> 2) * <usize>B * QUAD
    if (bias) bias += bytes(from)
  }
  if (count == 0) return
  prepareInt4()
  const most = min<i32>(MOST_TOKENS, max<i32>(1, MOST_NUMBERS / max<i32>(1, B * BLOCK)))
  for (let first = 0; first < T; first += most) {
    const tokens = min<i32>(most, T - first)
    for (let t = 0; t < tokens; t++)
      roundBlocks(numbersOf(t, B), stepsOf(t, B), sumsOf(t, B), rowAt(x, first + t, I), I)
    const to = rowAt(y, first, O)
    if (tokens <= MOST_EACH && takeUnits(tokens, B)) multiplyEach(to, weight, bias, rows, count, tokens, O, B)
    else if (isTiled(tokens)) multiplyTiled(to, weight, bias, rows, count, tokens, O, B)
    else multiplyAll(to, weight, bias, rows, count, tokens, O, B)
  }
}

/**
 * Takes the steps and sums of all tokens in units of half precision (storage.ts), so that scales need not be taken out
 * of theirs; false, and nothing is done, where one is too large for that.
 */
function takeUnits(tokens: i32, B: i32): bool {
  const count = 2 * B * tokens
  if (!(largestSize(stepsOf(0, B), count) * unit<f16>() < Infinity)) return false
  scaleArray(stepsOf(0, B), stepsOf(0, B), unit<f16>(), count)
  return true
}

/** Eight rows at a time, of which every token reads the numbers again. */
function multiplyEach(
  y: usize, // [tokens, O]
  weight: usize,
  bias: usize,
  rows: usize,
  count: i32,
  tokens: i32,
  O: i32,
  B: i32,
): void {
  const quads = (count + 3) >> 2
  const half = (quads + 1) >> 1
  for (let quad = 0; quad < half; quad++) {
    // The last one of an odd number is computed twice.
    const other = min<i32>(quad + half, quads - 1)
    const w0 = fourRows(0, weight, rows, quad, count, B)
    const w1 = fourRows(1, weight, rows, other, count, B)
    for (let t = 0; t < tokens; t++) {
      dotEight(t, w0, w1, B)
      finish(rowAt(y, t, O), v128.load(rowSums()), bias, rows, quad, count)
      finish(rowAt(y, t, O), v128.load(rowSums(), 16), bias, rows, other, count)
    }
  }
}

/** The sums of rows: of eight for one token, [8]; of four for several, [tokens, 4]. */
function rowSums(): usize {
  return tileSums() + 16
}

/** The sums of two fours of rows, for token t. */
function dotEight(t: i32, w0: usize, w1: usize, B: i32): void {
  const mask = v128.load(nibbles())
  const places = v128.load(halfPlaces())
  let q = numbersOf(t, B)
  let step = stepsOf(t, B)
  let sum = sumsOf(t, B)
  let y0 = f32x4.splat(0)
  let y1 = f32x4.splat(0)
  for (const end = w0 + <usize>B * QUAD; w0 < end; w0 += QUAD) {
    let lower = v128.load32_splat(q)
    let upper = v128.load32_splat(q, 16)
    let a = v128.load(w0, 16)
    let b = v128.load(w1, 16)
    let s0 = byteProducts(lower, lowerHalves(a, mask))
    let s1 = byteProducts(lower, lowerHalves(b, mask))
    let u0 = byteProducts(upper, upperHalves(a, mask))
    let u1 = byteProducts(upper, upperHalves(b, mask))
    lower = v128.load32_splat(q, 4)
    upper = v128.load32_splat(q, 20)
    a = v128.load(w0, 32)
    b = v128.load(w1, 32)
    s0 = addByteProducts(s0, lower, lowerHalves(a, mask))
    s1 = addByteProducts(s1, lower, lowerHalves(b, mask))
    u0 = addByteProducts(u0, upper, upperHalves(a, mask))
    u1 = addByteProducts(u1, upper, upperHalves(b, mask))
    lower = v128.load32_splat(q, 8)
    upper = v128.load32_splat(q, 24)
    a = v128.load(w0, 48)
    b = v128.load(w1, 48)
    s0 = addByteProducts(s0, lower, lowerHalves(a, mask))
    s1 = addByteProducts(s1, lower, lowerHalves(b, mask))
    u0 = addByteProducts(u0, upper, upperHalves(a, mask))
    u1 = addByteProducts(u1, upper, upperHalves(b, mask))
    lower = v128.load32_splat(q, 12)
    upper = v128.load32_splat(q, 28)
    a = v128.load(w0, 64)
    b = v128.load(w1, 64)
    s0 = addByteProducts(s0, lower, lowerHalves(a, mask))
    s1 = addByteProducts(s1, lower, lowerHalves(b, mask))
    u0 = addByteProducts(u0, upper, upperHalves(a, mask))
    u1 = addByteProducts(u1, upper, upperHalves(b, mask))
    const steps = v128.load32_splat(step)
    const sums = v128.load32_splat(sum)
    y0 = f32x4.add(y0, blockTerms(w0, addByteSums(s0, u0), steps, sums, places))
    y1 = f32x4.add(y1, blockTerms(w1, addByteSums(s1, u1), steps, sums, places))
    q += BLOCK
    step += 4
    sum += 4
    w1 += QUAD
  }
  v128.store(rowSums(), y0)
  v128.store(rowSums(), y1, 16)
}

/** What a block of four rows adds to them. @param s sums of bytes (int4.ts) */
function blockTerms(w: usize, s: v128, steps: v128, sums: v128, places: v128): v128 {
  return fourTerms(fourHalves(w, places), steps, wholeSums(s), fourHalves(w + 8, places), sums)
}

/** Few tokens: four rows at a time, whose numbers are opened a block at a time. */
function multiplyAll(
  y: usize, // [tokens, O]
  weight: usize,
  bias: usize,
  rows: usize,
  count: i32,
  tokens: i32,
  O: i32,
  B: i32,
): void {
  const quads = (count + 3) >> 2
  const totals = rowSums() // [tokens, 4]
  for (let quad = 0; quad < quads; quad++) {
    const w = fourRows(0, weight, rows, quad, count, B)
    memory.fill(totals, 0, (<usize>tokens) << 4)
    for (let b = 0; b < B; b++) addBlock(totals, w + <usize>b * QUAD, b, tokens, B)
    for (let t = 0; t < tokens; t++)
      finish(rowAt(y, t, O), v128.load(totals + ((<usize>t) << 4)), bias, rows, quad, count)
  }
}

/** Adds block b of four rows to the sums of every token. */
function addBlock(totals: usize, w: usize, b: i32, tokens: i32, B: i32): void {
  const mask = v128.load(nibbles())
  const scales = inUnits<f16>(fourHalves(w, v128.load(halfPlaces())))
  const minima = inUnits<f16>(fourHalves(w + 8, v128.load(halfPlaces())))
  const n0 = v128.load(w, 16)
  const n1 = v128.load(w, 32)
  const n2 = v128.load(w, 48)
  const n3 = v128.load(w, 64)
  const a0 = lowerHalves(n0, mask)
  const b0 = upperHalves(n0, mask)
  const a1 = lowerHalves(n1, mask)
  const b1 = upperHalves(n1, mask)
  const a2 = lowerHalves(n2, mask)
  const b2 = upperHalves(n2, mask)
  const a3 = lowerHalves(n3, mask)
  const b3 = upperHalves(n3, mask)
  let q = numbersOf(0, B) + <usize>b * BLOCK
  let step = stepsOf(0, B) + bytes(b)
  const width = <usize>B * BLOCK
  for (const end = totals + ((<usize>tokens) << 4); totals < end; totals += 16) {
    let s = i16x8.add(pairSums(v128.load32_splat(q), a0), pairSums(v128.load32_splat(q, 16), b0))
    s = i16x8.add(s, pairSums(v128.load32_splat(q, 4), a1))
    s = i16x8.add(s, pairSums(v128.load32_splat(q, 20), b1))
    s = i16x8.add(s, pairSums(v128.load32_splat(q, 8), a2))
    s = i16x8.add(s, pairSums(v128.load32_splat(q, 24), b2))
    s = i16x8.add(s, pairSums(v128.load32_splat(q, 12), a3))
    s = i16x8.add(s, pairSums(v128.load32_splat(q, 28), b3))
    const products = i32x4.extadd_pairwise_i16x8_s(s)
    const sum = v128.load32_splat(step + bytes(B))
    const terms = fourTerms(scales, v128.load32_splat(step), products, minima, sum)
    v128.store(totals, f32x4.add(v128.load(totals), terms))
    q += width
    step += bytes(2 * B)
  }
}
