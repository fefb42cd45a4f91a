/**
 * linear_input_major_i4: y[t, o] = sum over blocks b of ((scale[b, o] step[t, b]) p[t, b, o] + minimum[b, o] sum[t, b]) + bias[o],
 * where p[t, b, o] = sum over chosen inputs i of block b of q[t, i] n[i, o].
 *
 * Outputs are taken a tile of 64 at a time, and inputs a block at a time, so that the sums of a tile stay in registers and
 * rows are read as they lie. Two rows are read together: their bytes interleaved are pairs, which one instruction
 * multiplies and adds. Sixteen rows fit into 16 bits, and more where activations are small. One token with such activations:
 * rows are opened as they are read. Few: they are opened first, once for all tokens. Several: linear_input_major_i4_tile.ts. For
 * one token, rows of inputs that are zero are left out where these are many (nonzero.ts).
 */
import { addArrays } from './elementwise'
import { bytes, storeStripe, STRIPE } from './float32'
import { lowerBytes, upperBytes } from './int16_pairs'
import { fourTerms, lowerHalves, pairSums, prepareInt4, upperHalves } from './int4'
import {
  findRuns,
  inBlockOrder,
  numbersOf,
  roundToken,
  runBlock,
  runEnd,
  slotAt,
  stepOf,
  TILE_BYTES,
} from './int4_runs'
import { mostTokens, multiplyTiled } from './linear_input_major_i4_tile'
import { listNonzero } from './nonzero'
import { edgeColumns, nibbles, openedRows, packedRight, tileSums } from './scratch'
import { SHORT } from './tile'
import { rowAt } from './units'

/** Outputs of a tile, and the bytes of their scales and minima in a block. */
const TILE: i32 = 64
const SCALE_BYTES: usize = 512

/** Two tiles are read in turn where their rows lie a multiple of this many bytes apart. */
const PERIOD: usize = 32768

/** Rows whose products with activations are added in 16 bits, whatever these are. */
const MOST_ROWS: i32 = 16
/** The sum of sizes of activations whose products with 4-bit numbers fit 16 bits together. */
const MOST_SIZE: i32 = 2184
/** Where vectors are joined, up to this many tokens take a run one after the other: that is faster than opening rows once. */
const MOST_EACH: i32 = 3
/** At most this many tokens are taken together, with this many rounded numbers, and this many blocks. */
const MOST_TOKENS: i32 = 64
const MOST_NUMBERS: i32 = 524288
const MOST_STEPS: i32 = 49152

export function linear_input_major_i4(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [C, S, 32]
  scales: usize, // [C, B, 128]
  blocks: usize, // [I], below B
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  C: i32,
  S: i32,
  B: i32,
): void {
  linear_input_major_i4_part(y, x, weight, scales, blocks, bias, inputs, T, O, I, R, C, S, B, 0, O)
}

/** Columns from..to of y and of the matrix; they begin at a multiple of 64. */
export function linear_input_major_i4_part(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [C, S, 32]
  scales: usize, // [C, B, 128]
  blocks: usize, // [I], below B
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  C: i32,
  S: i32,
  B: i32,
  from: i32,
  to: i32,
): void {
  let count = inputs ? R : I
  const kept = T == 1 ? listNonzero(packedRight(), x, inputs, T, I, count, <usize>(to - from) >> 1) : -1
  if (kept >= 0) {
    inputs = packedRight()
    count = kept
  }
  prepareInt4()
  let order = inputs
  let runs = findRuns(blocks, order, count)
  if (runs < 0) {
    order = inBlockOrder(blocks, inputs, count, B)
    runs = findRuns(blocks, order, count)
  }
  const slots = max<i32>(1, runs ? runEnd(runs - 1) : 0)
  let most = max<i32>(
    1,
    min<i32>(MOST_TOKENS, min<i32>(MOST_NUMBERS / slots, MOST_STEPS / max<i32>(1, runs))),
  )
  const tiled = mostTokens(min<i32>(most, T), runs)
  if (tiled) most = tiled
  for (let first = 0; first < T; first += most) {
    const tokens = min<i32>(most, T - first)
    for (let t = 0; t < tokens; t++) roundToken(t, rowAt(x, first + t, I), order, runs)
    const row = rowAt(y, first, O)
    for (let t = 0; t < tokens; t++) memory.fill(rowAt(row, t, O) + bytes(from), 0, bytes(to - from))
    const apart = tilesApart((to - from + TILE - 1) / TILE, S) * TILE
    if (tiled > 0 && tokens >= SHORT)
      multiplyTiled(row, weight, scales, runs, tokens, slots, O, S, B, from, to)
    else
      for (let tile = from; tile < from + apart; tile += TILE)
        for (let run = 0; run < runs; run++)
          for (let o = tile; o < to; o += apart)
            addRunTo(row, weight, scales, o, min<i32>(TILE, to - o), run, runs, tokens, slots, O, S, B)
    if (bias)
      for (let t = 0; t < tokens; t++)
        addArrays(
          rowAt(row, t, O) + bytes(from),
          rowAt(row, t, O) + bytes(from),
          bias + bytes(from),
          to - from,
        )
  }
}

/**
 * How many tiles there are from one to the next that is read in turn with it: all, if none is. Two streams are read faster than
 * one, and than three; two at other distances than multiples of `PERIOD` are read up to 1.5 times as slowly as one.
 */
function tilesApart(tiles: i32, S: i32): i32 {
  let apart = (tiles + 1) >> 1
  while (apart < tiles && (<usize>apart * <usize>S * TILE_BYTES) % PERIOD) apart++
  return apart
}

/** Adds the terms of a run to the tile of outputs o to o + width of every token. */
function addRunTo(
  y: usize, // [tokens, O]
  weight: usize,
  scales: usize,
  o: i32,
  width: i32,
  run: i32,
  runs: i32,
  tokens: i32,
  slots: i32,
  O: i32,
  S: i32,
  B: i32,
): void {
  const c = <usize>(o >> 6)
  const rows = weight + c * <usize>S * TILE_BYTES
  const at = scales + (c * <usize>B + <usize>runBlock(run)) * SCALE_BYTES
  const slot = run == 0 ? 0 : runEnd(run - 1)
  const step = stepOf(0, run, runs)
  const tile = y + bytes(o)
  if (tokens == 1 && width == TILE && load<i32>(step, 8) <= MOST_SIZE) {
    addRun(tile, rows, numbersOf(0, slots), slot, runEnd(run), at, step)
    return
  }
  if (WIDE && tokens <= MOST_EACH && width == TILE && haveSmallSums(tokens, run, runs)) {
    for (let t = 0; t < tokens; t++)
      addRun(rowAt(tile, t, O), rows, numbersOf(t, slots), slot, runEnd(run), at, stepOf(t, run, runs))
    return
  }
  multiply(rows, slot, runEnd(run), tokens, slots)
  addTile(tile, at, run, runs, tokens, width, O)
}

/** Whether the sums of a run fit 16 bits, of every token. */
function haveSmallSums(tokens: i32, run: i32, runs: i32): bool {
  for (let t = 0; t < tokens; t++) if (load<i32>(stepOf(t, run, runs), 8) > MOST_SIZE) return false
  return true
}

// ---- Products -------------------------------------------------------------------------------------------------

/** Adds the terms of a run to a tile of a token, whose sums fit 16 bits. @param numbers of the token */
function addRun(
  y: usize,
  rows: usize,
  numbers: usize,
  slot: i32,
  end: i32,
  scales: usize,
  step: usize,
): void {
  const mask = v128.load(nibbles())
  // 255 in each, and not written as that: V8 makes a constant anew at each use.
  const low = i16x8.shr_u(v128.or(mask, i16x8.shl(mask, 4)), 8)
  let s0 = i16x8.splat(0)
  let s1 = i16x8.splat(0)
  let s2 = i16x8.splat(0)
  let s3 = i16x8.splat(0)
  let s4 = i16x8.splat(0)
  let s5 = i16x8.splat(0)
  let s6 = i16x8.splat(0)
  let s7 = i16x8.splat(0)
  let q = numbers + <usize>slot
  let at = slotAt(slot)
  for (const last = slotAt(end); at < last; at += 8) {
    const row = rows + load<usize>(at)
    const other = rows + load<usize>(at, 4)
    const factors = v128.load16_splat(q)
    let a = v128.load(row)
    let b = v128.load(other)
    let first = WIDE ? evenPairs(a, b, low) : lowerBytes(a, b)
    let last = WIDE ? oddPairs(a, b, low) : upperBytes(a, b)
    s0 = i16x8.add(s0, pairSums(factors, lowerHalves(first, mask)))
    s2 = i16x8.add(s2, pairSums(factors, upperHalves(first, mask)))
    s4 = i16x8.add(s4, pairSums(factors, lowerHalves(last, mask)))
    s6 = i16x8.add(s6, pairSums(factors, upperHalves(last, mask)))
    a = v128.load(row, 16)
    b = v128.load(other, 16)
    first = WIDE ? evenPairs(a, b, low) : lowerBytes(a, b)
    last = WIDE ? oddPairs(a, b, low) : upperBytes(a, b)
    s1 = i16x8.add(s1, pairSums(factors, lowerHalves(first, mask)))
    s3 = i16x8.add(s3, pairSums(factors, upperHalves(first, mask)))
    s5 = i16x8.add(s5, pairSums(factors, lowerHalves(last, mask)))
    s7 = i16x8.add(s7, pairSums(factors, upperHalves(last, mask)))
    q += 2
  }
  const steps = v128.load32_splat(step)
  const sums = v128.load32_splat(step, 4)
  if (WIDE) {
    storeStripe(tileSums(), s0, s1, s2, s3)
    storeStripe(tileSums() + STRIPE, s4, s5, s6, s7)
    zipSums()
    for (let at: usize = 0; at < 256; at += 32) {
      const from = zippedSums() + (at >> 1)
      addEight(y + at, scales + at, v128.load16x4_s(from), v128.load16x4_s(from, 8), steps, sums)
    }
    return
  }
  addWidened(y, scales, s0, steps, sums)
  addWidened(y + 32, scales + 32, s4, steps, sums)
  addWidened(y + 64, scales + 64, s2, steps, sums)
  addWidened(y + 96, scales + 96, s6, steps, sums)
  addWidened(y + 128, scales + 128, s1, steps, sums)
  addWidened(y + 160, scales + 160, s5, steps, sums)
  addWidened(y + 192, scales + 192, s3, steps, sums)
  addWidened(y + 224, scales + 224, s7, steps, sums)
}

/** Adds the terms of eight outputs, whose products are int16. */
function addWidened(y: usize, scales: usize, s: v128, steps: v128, sums: v128): void {
  addEight(y, scales, i32x4.extend_low_i16x8_s(s), i32x4.extend_high_i16x8_s(s), steps, sums)
}

/** Adds the terms of eight outputs. */
function addEight(y: usize, scales: usize, first: v128, last: v128, steps: v128, sums: v128): void {
  const a = fourTerms(v128.load(scales), steps, first, v128.load(scales, 256), sums)
  const lower = f32x4.add(v128.load(y), a)
  const b = fourTerms(v128.load(scales, 16), steps, last, v128.load(scales, 272), sums)
  v128.store(y, f32x4.add(v128.load(y, 16), b), 16)
  v128.store(y, lower)
}

/** The sums of a tile over a run of slots, for every token, as int32. */
function multiply(rows: usize, slot: i32, end: i32, tokens: i32, slots: i32): void {
  for (let k = slot; k < end; k += MOST_ROWS) {
    const pairs = min<i32>(MOST_ROWS, end - k) >> 1
    openRows(rows, slotAt(k), pairs)
    for (let t = 0; t < tokens; t++) {
      const to = tileSums() + bytes(t * TILE)
      const q = numbersOf(t, slots) + <usize>k
      addOpened(to, openedRows(), q, pairs, k == slot)
      addOpened(to + 128, openedRows() + 64, q, pairs, k == slot)
    }
  }
}

/** Bytes 0, 2, 4.. of two rows, in pairs: of what makes pairs, engines that join vectors join this, and no shuffles. */
function evenPairs(a: v128, b: v128, low: v128): v128 {
  return v128.or(v128.and(a, low), i16x8.shl(b, 8))
}

/** Bytes 1, 3, 5.. */
function oddPairs(a: v128, b: v128, low: v128): v128 {
  return v128.or(i16x8.shr_u(a, 8), v128.andnot(b, low))
}

/** Sums of 64 outputs in their order, as int16. */
function zippedSums(): usize {
  return tileSums() + STRIPE * 2
}

/** Puts sums of even and of odd outputs, each [half of bytes][half of a row], into the order of the outputs. */
function zipSums(): void {
  for (let at: usize = 0; at < STRIPE; at += 16) {
    const even = v128.load(tileSums() + at)
    const odd = v128.load(tileSums() + STRIPE + at)
    const to = zippedSums() + ((at & 16) << 2) + (at & 32)
    v128.store(to, v128.shuffle<i16>(even, odd, 0, 8, 1, 9, 2, 10, 3, 11))
    v128.store(to, v128.shuffle<i16>(even, odd, 4, 12, 5, 13, 6, 14, 7, 15), 16)
  }
}

function storeSums(to: usize, s0: v128, s1: v128, s2: v128, s3: v128, isFirst: bool): void {
  if (isFirst) {
    v128.store(to, i32x4.extend_low_i16x8_s(s0))
    v128.store(to, i32x4.extend_high_i16x8_s(s0), 16)
    v128.store(to, i32x4.extend_low_i16x8_s(s1), 32)
    v128.store(to, i32x4.extend_high_i16x8_s(s1), 48)
    v128.store(to, i32x4.extend_low_i16x8_s(s2), 64)
    v128.store(to, i32x4.extend_high_i16x8_s(s2), 80)
    v128.store(to, i32x4.extend_low_i16x8_s(s3), 96)
    v128.store(to, i32x4.extend_high_i16x8_s(s3), 112)
    return
  }
  v128.store(to, i32x4.add(v128.load(to), i32x4.extend_low_i16x8_s(s0)))
  v128.store(to, i32x4.add(v128.load(to, 16), i32x4.extend_high_i16x8_s(s0)), 16)
  v128.store(to, i32x4.add(v128.load(to, 32), i32x4.extend_low_i16x8_s(s1)), 32)
  v128.store(to, i32x4.add(v128.load(to, 48), i32x4.extend_high_i16x8_s(s1)), 48)
  v128.store(to, i32x4.add(v128.load(to, 64), i32x4.extend_low_i16x8_s(s2)), 64)
  v128.store(to, i32x4.add(v128.load(to, 80), i32x4.extend_high_i16x8_s(s2)), 80)
  v128.store(to, i32x4.add(v128.load(to, 96), i32x4.extend_low_i16x8_s(s3)), 96)
  v128.store(to, i32x4.add(v128.load(to, 112), i32x4.extend_high_i16x8_s(s3)), 112)
}

/** Opens a tile of pairs of rows: of each pair 64 outputs, two bytes each. */
function openRows(rows: usize, slot: usize, pairs: i32): void {
  let to = openedRows()
  for (const end = slot + ((<usize>pairs) << 3); slot < end; slot += 8) {
    const row = rows + load<usize>(slot)
    const other = rows + load<usize>(slot, 4)
    openPair(to, v128.load(row), v128.load(other))
    openPair(to + 64, v128.load(row, 16), v128.load(other, 16))
    to += 128
  }
}

function openPair(to: usize, a: v128, b: v128): void {
  const mask = v128.load(nibbles())
  const first = lowerBytes(a, b)
  const last = upperBytes(a, b)
  v128.store(to, lowerHalves(first, mask))
  v128.store(to, lowerHalves(last, mask), 16)
  v128.store(to, upperHalves(first, mask), 32)
  v128.store(to, upperHalves(last, mask), 48)
}

/** The sums of half a tile over opened rows, at an address; added to those that are there unless they are the first. */
function addOpened(to: usize, n: usize, q: usize, pairs: i32, isFirst: bool): void {
  let s0 = i16x8.splat(0)
  let s1 = i16x8.splat(0)
  let s2 = i16x8.splat(0)
  let s3 = i16x8.splat(0)
  for (const end = q + ((<usize>pairs) << 1); q < end; q += 2) {
    const factors = v128.load16_splat(q)
    s0 = i16x8.add(s0, pairSums(factors, v128.load(n)))
    s1 = i16x8.add(s1, pairSums(factors, v128.load(n, 16)))
    s2 = i16x8.add(s2, pairSums(factors, v128.load(n, 32)))
    s3 = i16x8.add(s3, pairSums(factors, v128.load(n, 48)))
    n += 128
  }
  storeSums(to, s0, s1, s2, s3, isFirst)
}

// ---- Numbers --------------------------------------------------------------------------------------------------

/** Adds the terms of a run to a tile of y, whose rows are `O` numbers apart: all 64 columns, or `width` at the edge. */
function addTile(y: usize, scales: usize, run: i32, runs: i32, tokens: i32, width: i32, O: i32): void {
  for (let t = 0; t < tokens; t++) {
    const row = rowAt(y, t, O)
    const step = stepOf(t, run, runs)
    if (width == TILE) {
      addTerms(row, scales, step, tileSums() + bytes(t * TILE))
      continue
    }
    // At the edge numbers go through a tile of their own, so that nothing past them is touched.
    memory.copy(edgeColumns(), row, bytes(width))
    addTerms(edgeColumns(), scales, step, tileSums() + bytes(t * TILE))
    memory.copy(row, edgeColumns(), bytes(width))
  }
}

function addTerms(y: usize, scales: usize, step: usize, products: usize): void {
  const steps = v128.load32_splat(step)
  const sums = v128.load32_splat(step, 4)
  for (const end = products + bytes(TILE); products < end; products += 16) {
    const terms = fourTerms(v128.load(scales), steps, v128.load(products), v128.load(scales, 256), sums)
    v128.store(y, f32x4.add(v128.load(y), terms))
    y += 16
    scales += 16
  }
}
