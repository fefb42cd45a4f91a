/**
 * linear_input_major_i4: y[t, o] = sum over blocks b of ((scale[b, o] step[t, b]) p[t, b, o] + minimum[b, o] sum[t, b]) + bias[o],
 * where p[t, b, o] = sum over chosen inputs i of block b of q[t, i] n[i, o].
 *
 * Outputs are taken a tile of 64 at a time, and inputs a block at a time, so that the sums of a tile stay in registers and
 * rows are read as they lie. Two rows are read together: their bytes interleaved are pairs, which one instruction
 * multiplies and adds. Sixteen rows fit into 16 bits, and more where activations are small. One token with such activations:
 * rows are opened as they are read. Else they are opened first, once for all tokens. For one token, rows of inputs that are
 * zero are left out where these are many (nonzero.ts).
 */
import { addArrays, largestSize } from './elementwise'
import { bytes, storeStripe, STRIPE } from './float32'
import { BLOCK, fourTerms, LEVELS, lowerHalves, pairSums, prepareInt4, roundBlock, upperHalves } from './int4'
import { lowerBytes, upperBytes } from './int16_pairs'
import { listNonzero } from './nonzero'
import { nearestSteps } from './quantized_steps'
import { edgeColumns, nibbles, openedRows, packedLeft, packedRight, quantized, tileSums } from './scratch'
import { rowAt, unitAt } from './units'

/** Outputs of a tile, their bytes in a row, and the bytes of their scales and minima in a block. */
const TILE: i32 = 64
const TILE_BYTES: usize = 32
const SCALE_BYTES: usize = 512

/** Tiles that are read in turn. */
const STREAMS: i32 = 2

/** Rows whose products with activations are added in 16 bits, whatever these are. */
const MOST_ROWS: i32 = 16
/** The sum of sizes of activations whose products with 4-bit numbers fit 16 bits together. */
const MOST_SIZE: i32 = 2184
/** At most this many tokens are taken together, with this many rounded numbers, and this many blocks. */
const MOST_TOKENS: i32 = 64
const MOST_NUMBERS: i32 = 524288
const MOST_STEPS: i32 = 49152

// What stands in `packedLeft`, for up to 49152 inputs: 196608 bytes for a number of each.
const ENDS: usize = 196608
const SLOTS: usize = ENDS + 196672
const RUN_ENDS: usize = SLOTS + 2 * 196608
const RUN_BLOCKS: usize = RUN_ENDS + 196608
const STEPS: usize = RUN_BLOCKS + 196608

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
  const most = max<i32>(
    1,
    min<i32>(MOST_TOKENS, min<i32>(MOST_NUMBERS / slots, MOST_STEPS / max<i32>(1, runs))),
  )
  for (let first = 0; first < T; first += most) {
    const tokens = min<i32>(most, T - first)
    for (let t = 0; t < tokens; t++) roundToken(t, rowAt(x, first + t, I), order, runs)
    const row = rowAt(y, first, O)
    for (let t = 0; t < tokens; t++) memory.fill(rowAt(row, t, O) + bytes(from), 0, bytes(to - from))
    // Tiles take turns, from places apart: two streams are read faster than one, and than three.
    const tiles = (to - from + TILE - 1) / TILE
    const apart = ((tiles + STREAMS - 1) / STREAMS) * TILE
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
    addRun(tile, rows, slot, runEnd(run), at, step)
    return
  }
  multiply(rows, slot, runEnd(run), tokens, slots)
  addTile(tile, at, run, runs, tokens, width, O)
}

// ---- Which inputs ---------------------------------------------------------------------------------------------

function blockAt(blocks: usize, order: usize, r: i32): i32 {
  return load<i32>(blocks + bytes(unitAt(order, r)))
}

/** The chosen inputs in the order of their blocks, [count]. */
function inBlockOrder(blocks: usize, inputs: usize, count: i32, B: i32): usize {
  const order = packedLeft() // [count]
  const ends = packedLeft() + ENDS // [B + 1]
  memory.fill(ends, 0, bytes(B + 1))
  for (let r = 0; r < count; r++) {
    const at = ends + bytes(blockAt(blocks, inputs, r) + 1)
    store<i32>(at, load<i32>(at) + 1)
  }
  for (let b = 1; b < B; b++) {
    const at = ends + bytes(b)
    store<i32>(at, load<i32>(at) + load<i32>(at - 4))
  }
  for (let r = 0; r < count; r++) {
    const at = ends + bytes(blockAt(blocks, inputs, r))
    const place = load<i32>(at)
    store<i32>(order + bytes(place), unitAt(inputs, r))
    store<i32>(at, place + 1)
  }
  return order
}

/** The slot in which a run of inputs of one block ends, and their block. */
function runEnd(run: i32): i32 {
  return load<i32>(packedLeft() + RUN_ENDS + bytes(run))
}

function runBlock(run: i32): i32 {
  return load<i32>(packedLeft() + RUN_BLOCKS + bytes(run))
}

/** Where in a tile the row of a slot stands. */
function slotAt(slot: i32): usize {
  return packedLeft() + SLOTS + bytes(slot)
}

/**
 * Gives each run of inputs of one block an even number of slots, and returns how many runs there are; -1 where the inputs
 * are not in the order of their blocks. An input without a partner has itself for one, times 0.
 */
function findRuns(blocks: usize, order: usize, count: i32): i32 {
  let runs = 0
  let slot = 0
  let last = -1
  for (let r = 0; r < count; runs++) {
    const b = blockAt(blocks, order, r)
    if (b < last) return -1
    last = b
    for (; r < count && blockAt(blocks, order, r) == b; r++)
      store<usize>(slotAt(slot++), <usize>unitAt(order, r) * TILE_BYTES)
    if (slot & 1) {
      store<usize>(slotAt(slot), load<usize>(slotAt(slot - 1)))
      slot++
    }
    store<i32>(packedLeft() + RUN_ENDS + bytes(runs), slot)
    store<i32>(packedLeft() + RUN_BLOCKS + bytes(runs), b)
  }
  return runs
}

// ---- Rounding -------------------------------------------------------------------------------------------------

/** A token's rounded numbers, [slots] i8. */
function numbersOf(t: i32, slots: i32): usize {
  return quantized() + <usize>t * <usize>slots
}

/** A token's step, its sum and the sum of its sizes for a run, [3], with room for one more. */
function stepOf(t: i32, run: i32, runs: i32): usize {
  return packedLeft() + STEPS + bytes((t * runs + run) << 2)
}

/** Rounds the chosen numbers of a token, run by run. */
function roundToken(t: i32, x: usize, order: usize, runs: i32): void {
  const slots = runs ? runEnd(runs - 1) : 0
  const q = numbersOf(t, slots)
  for (let run = 0, slot = 0, r = 0; run < runs; run++) {
    const end = runEnd(run)
    // The partner of an only input is no input.
    const isOdd = load<usize>(slotAt(end - 1)) == load<usize>(slotAt(end - 2))
    const members = end - slot - i32(isOdd)
    roundChosen(q + <usize>slot, stepOf(t, run, runs), x, order, r, members)
    slot = end
    r += members
  }
}

/** Rounds the chosen numbers of a run; writes them, and what `stepOf` says. */
function roundChosen(q: usize, step: usize, x: usize, order: usize, r: i32, members: i32): void {
  let from = x + bytes(r)
  if (order) {
    from = packedLeft() + ENDS
    for (let k = 0; k < members; k++) store<f32>(from + bytes(k), load<f32>(x + bytes(unitAt(order, r + k))))
  }
  if (members <= BLOCK) {
    store<i32>(step, roundBlock(q, step, step + 4, from, members), 8)
    return
  }
  const size = largestSize(from, members) / LEVELS
  let total = 0
  for (let k = 0; k < members; k++) {
    const steps = nearestSteps(v128.load32_zero(from + bytes(k)), f32x4.splat(size), f32x4.splat(LEVELS))
    total += i32x4.extract_lane(steps, 0)
    store<i8>(q + <usize>k, <i8>i32x4.extract_lane(steps, 0))
  }
  store<i8>(q + <usize>members, 0)
  store<f32>(step, size)
  store<f32>(step, size * <f32>total, 4)
  store<i32>(step, i32.MAX_VALUE, 8)
}

// ---- Products -------------------------------------------------------------------------------------------------

/** Adds the terms of a run to a tile of the one token, whose sums fit 16 bits. */
function addRun(y: usize, rows: usize, slot: i32, end: i32, scales: usize, step: usize): void {
  const mask = v128.load(nibbles())
  let s0 = i16x8.splat(0)
  let s1 = i16x8.splat(0)
  let s2 = i16x8.splat(0)
  let s3 = i16x8.splat(0)
  let s4 = i16x8.splat(0)
  let s5 = i16x8.splat(0)
  let s6 = i16x8.splat(0)
  let s7 = i16x8.splat(0)
  let q = quantized() + <usize>slot
  let at = slotAt(slot)
  for (const last = slotAt(end); at < last; at += 8) {
    const row = rows + load<usize>(at)
    const other = rows + load<usize>(at, 4)
    const factors = v128.load16_splat(q)
    let first = pairs0(row, other)
    let last = pairs1(row, other)
    s0 = i16x8.add(s0, pairSums(factors, lowerHalves(first, mask)))
    s1 = i16x8.add(s1, pairSums(factors, lowerHalves(last, mask)))
    s2 = i16x8.add(s2, pairSums(factors, upperHalves(first, mask)))
    s3 = i16x8.add(s3, pairSums(factors, upperHalves(last, mask)))
    first = pairs2(row, other)
    last = pairs3(row, other)
    s4 = i16x8.add(s4, pairSums(factors, lowerHalves(first, mask)))
    s5 = i16x8.add(s5, pairSums(factors, lowerHalves(last, mask)))
    s6 = i16x8.add(s6, pairSums(factors, upperHalves(first, mask)))
    s7 = i16x8.add(s7, pairSums(factors, upperHalves(last, mask)))
    q += 2
  }
  const steps = v128.load32_splat(step)
  const sums = v128.load32_splat(step, 4)
  if (WIDE) {
    storeStripe(tileSums(), s0, s1, s2, s3)
    storeStripe(tileSums() + STRIPE, s4, s5, s6, s7)
    for (let at: usize = 0; at < 256; at += 32) {
      const from = tileSums() + (at >> 1)
      addEight(y + at, scales + at, v128.load16x4_s(from), v128.load16x4_s(from, 8), steps, sums)
    }
    return
  }
  addWidened(y, scales, s0, steps, sums)
  addWidened(y + 32, scales + 32, s1, steps, sums)
  addWidened(y + 64, scales + 64, s2, steps, sums)
  addWidened(y + 96, scales + 96, s3, steps, sums)
  addWidened(y + 128, scales + 128, s4, steps, sums)
  addWidened(y + 160, scales + 160, s5, steps, sums)
  addWidened(y + 192, scales + 192, s6, steps, sums)
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

/** Bytes 0 to 7 of two rows, in pairs. Engines that join vectors join no shuffles, but what can do without. */
function pairs0(row: usize, other: usize): v128 {
  if (!WIDE) return lowerBytes(v128.load(row), v128.load(other))
  return v128.or(v128.load8x8_u(row), i16x8.shl(v128.load8x8_u(other), 8))
}

/** Bytes 8 to 15. */
function pairs1(row: usize, other: usize): v128 {
  if (!WIDE) return upperBytes(v128.load(row), v128.load(other))
  return v128.or(v128.load8x8_u(row, 8), i16x8.shl(v128.load8x8_u(other, 8), 8))
}

/** Bytes 16 to 23. */
function pairs2(row: usize, other: usize): v128 {
  if (!WIDE) return lowerBytes(v128.load(row, 16), v128.load(other, 16))
  return v128.or(v128.load8x8_u(row, 16), i16x8.shl(v128.load8x8_u(other, 16), 8))
}

/** Bytes 24 to 31. */
function pairs3(row: usize, other: usize): v128 {
  if (!WIDE) return upperBytes(v128.load(row, 16), v128.load(other, 16))
  return v128.or(v128.load8x8_u(row, 24), i16x8.shl(v128.load8x8_u(other, 24), 8))
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
