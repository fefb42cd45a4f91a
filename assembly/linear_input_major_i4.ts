/**
 * linear_input_major_i4: y[t, o] = sum over blocks b of ((scale[b, o] step[t, b]) p[t, b, o] + minimum[b, o] sum[t, b]) + bias[o],
 * where p[t, b, o] = sum over chosen inputs i of block b of q[t, i] n[i, o].
 *
 * Inputs are taken a block at a time and outputs 32 at a time, so that the sums of a tile stay in registers. Two rows are
 * read together: their bytes interleaved are pairs, which one instruction multiplies and adds. Sixteen rows fit into 16
 * bits. One token: rows are opened as they are read. Several: they are opened once, for all tokens.
 */
import { bytes } from './float32'
import {
  BLOCK,
  fourHalves,
  fourTerms,
  lowerHalves,
  pairSums,
  prepareInt4,
  roundBlock,
  upperHalves,
} from './int4'
import { largestSize } from './elementwise'
import { nearestSteps } from './quantized_steps'
import {
  edgeColumns,
  halfPlaces,
  halfUnits,
  nibbles,
  openedRows,
  packedLeft,
  packedRight,
  quantized,
  tileSums,
} from './scratch'
import { rowAt, unitAt } from './units'

/** Rounded numbers of the tokens that are taken together, at most. */
const MOST_NUMBERS: i32 = 524288
/** At most this many tokens. */
const MOST_TOKENS: i32 = 64
/** Rows whose products with activations are added in 16 bits. */
const MOST_ROWS: i32 = 16
/** Where in `packedLeft` chosen inputs are gathered: behind their order. */
const GATHERED: usize = 1048576
/** Outputs of a tile, and their bytes in a row. */
const TILE: i32 = 32
const TILE_BYTES: usize = 16

export function linear_input_major_i4(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [I, C, 16]
  scales: usize, // [B, O] f16
  minima: usize, // [B, O] f16
  blocks: usize, // [I], below B
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  C: i32,
  B: i32,
): void {
  linear_input_major_i4_part(y, x, weight, scales, minima, blocks, bias, inputs, T, O, I, R, C, B, 0, O)
}

/** Columns from..to of y and of the matrix; they begin at a multiple of 32. */
export function linear_input_major_i4_part(
  y: usize, // [T, O]
  x: usize, // [T, I]
  weight: usize, // [I, C, 16]
  scales: usize, // [B, O] f16
  minima: usize, // [B, O] f16
  blocks: usize, // [I], below B
  bias: usize, // [O] or null
  inputs: usize, // [R] or null
  T: i32,
  O: i32,
  I: i32,
  R: i32,
  C: i32,
  B: i32,
  from: i32,
  to: i32,
): void {
  const count = inputs ? R : I
  const width = to - from
  y += bytes(from)
  if (bias) bias += bytes(from)
  scales += (<usize>from) << 1
  minima += (<usize>from) << 1
  weight += <usize>(from >> 5) * TILE_BYTES
  for (let t = 0; t < T; t++) memory.fill(rowAt(y, t, O), 0, bytes(width))
  prepareInt4()
  const order = inBlockOrder(blocks, inputs, count, B)
  const most = min<i32>(MOST_TOKENS, max<i32>(1, MOST_NUMBERS / max<i32>(1, count + MOST_ROWS)))
  for (let first = 0; first < T; first += most) {
    const tokens = min<i32>(most, T - first)
    for (let r = 0; r < count;) {
      const b = blockAt(blocks, order, r)
      let end = r + 1
      while (end < count && blockAt(blocks, order, end) == b) end++
      addBlock(
        rowAt(y, first, O),
        rowAt(x, first, I),
        weight,
        scales + ((<usize>b * <usize>O) << 1),
        minima + ((<usize>b * <usize>O) << 1),
        order,
        r,
        end - r,
        tokens,
        width,
        O,
        I,
        C,
      )
      r = end
    }
  }
  if (!bias) return
  for (let t = 0; t < T; t++)
    for (let o = 0; o < width; o++) {
      const at = rowAt(y, t, O) + bytes(o)
      store<f32>(at, load<f32>(at) + load<f32>(bias + bytes(o)))
    }
}

function blockAt(blocks: usize, order: usize, r: i32): i32 {
  return load<i32>(blocks + bytes(unitAt(order, r)))
}

/** The chosen inputs in the order of their blocks: the list itself, or null for all, where that is the order. */
function inBlockOrder(blocks: usize, inputs: usize, count: i32, B: i32): usize {
  let r = 1
  while (r < count && blockAt(blocks, inputs, r - 1) <= blockAt(blocks, inputs, r)) r++
  if (r >= count) return inputs
  const order = packedLeft() // [count]
  const ends = order + bytes(count) // [B + 1]
  memory.fill(ends, 0, bytes(B + 1))
  for (r = 0; r < count; r++) {
    const at = ends + bytes(blockAt(blocks, inputs, r) + 1)
    store<i32>(at, load<i32>(at) + 1)
  }
  for (let b = 1; b < B; b++) {
    const at = ends + bytes(b)
    store<i32>(at, load<i32>(at) + load<i32>(at - 4))
  }
  for (r = 0; r < count; r++) {
    const at = ends + bytes(blockAt(blocks, inputs, r))
    const place = load<i32>(at)
    store<i32>(order + bytes(place), unitAt(inputs, r))
    store<i32>(at, place + 1)
  }
  return order
}

/** A token's rounded numbers of the block in hand, [padded] i8. */
function numbersOf(t: i32, padded: i32): usize {
  return quantized() + <usize>t * <usize>padded
}

/** A token's step and sum for that block, [2]. */
function stepOf(t: i32): usize {
  return packedRight() + bytes(t << 1)
}

/** Where the rows of the block are, [count]. */
function rowAddresses(): usize {
  return packedRight() + bytes(2 * MOST_TOKENS)
}

/** Adds what the inputs of one block give: `count` entries of the order, from `r` on. */
function addBlock(
  y: usize,
  x: usize,
  weight: usize,
  scales: usize,
  minima: usize,
  order: usize,
  r: i32,
  count: i32,
  tokens: i32,
  width: i32,
  O: i32,
  I: i32,
  C: i32,
): void {
  const padded = (count + BLOCK) & ~(BLOCK - 1)
  const rowBytes = <usize>C * TILE_BYTES
  for (let k = 0; k < count; k++)
    store<usize>(rowAddresses() + bytes(k), weight + <usize>unitAt(order, r + k) * rowBytes)
  // A row without a partner meets itself, times 0.
  store<usize>(rowAddresses() + bytes(count), load<usize>(rowAddresses() + bytes(count - 1)))
  for (let t = 0; t < tokens; t++)
    roundChosen(numbersOf(t, padded), stepOf(t), rowAt(x, t, I), order, r, count)
  for (let column = 0; column < width; column += TILE) {
    const at = <usize>(column >> 5) * TILE_BYTES
    for (let k = 0; k < count; k += MOST_ROWS) {
      const pairs = (min<i32>(MOST_ROWS, count - k) + 1) >> 1
      const rows = rowAddresses() + bytes(k)
      if (tokens == 1) addRows(tileSums(), rows, at, numbersOf(0, padded) + k, pairs, k == 0)
      else {
        openRows(rows, at, pairs)
        for (let t = 0; t < tokens; t++)
          addOpened(tileSums() + bytes(t * TILE), numbersOf(t, padded) + k, pairs, k == 0)
      }
    }
    addTile(
      y + bytes(column),
      scales + ((<usize>column) << 1),
      minima + ((<usize>column) << 1),
      tokens,
      width - column,
      O,
    )
  }
}

/** Rounds the chosen numbers of a token; writes them, and the step and its product with their sum. */
function roundChosen(q: usize, step: usize, x: usize, order: usize, r: i32, count: i32): void {
  const chosen = packedLeft() + GATHERED
  let from = chosen
  const first = unitAt(order, r)
  // Entries ascend: where the last one is as far as they are many, they follow each other.
  if (!order || unitAt(order, r + count - 1) == first + count - 1) from = x + bytes(first)
  else
    for (let k = 0; k < count; k++) store<f32>(chosen + bytes(k), load<f32>(x + bytes(unitAt(order, r + k))))
  if (count <= BLOCK) {
    roundBlock(q, step, step + 4, from, count)
    return
  }
  const size = largestSize(from, count) / 127
  let total = 0
  for (let k = 0; k < count; k++) {
    const n = i32x4.extract_lane(
      nearestSteps(v128.load32_zero(from + bytes(k)), f32x4.splat(size), f32x4.splat(127)),
      0,
    )
    total += n
    store<i8>(q + <usize>k, <i8>n)
  }
  store<i8>(q + <usize>count, 0)
  store<f32>(step, size)
  store<f32>(step + 4, size * <f32>total)
}

/** The sums of a tile over pairs of rows, as int32 at an address; added to those that are there unless they are first. */
function addRows(to: usize, rows: usize, column: usize, q: usize, pairs: i32, isFirst: bool): void {
  const mask = v128.load(nibbles())
  let s0 = i16x8.splat(0)
  let s1 = i16x8.splat(0)
  let s2 = i16x8.splat(0)
  let s3 = i16x8.splat(0)
  for (const end = rows + ((<usize>pairs) << 3); rows < end; rows += 8) {
    const a = v128.load(load<usize>(rows) + column)
    const b = v128.load(load<usize>(rows, 4) + column)
    const factors = v128.load16_splat(q)
    const first = firstPairs(a, b)
    const last = lastPairs(a, b)
    s0 = i16x8.add(s0, pairSums(factors, lowerHalves(first, mask)))
    s1 = i16x8.add(s1, pairSums(factors, lowerHalves(last, mask)))
    s2 = i16x8.add(s2, pairSums(factors, upperHalves(first, mask)))
    s3 = i16x8.add(s3, pairSums(factors, upperHalves(last, mask)))
    q += 2
  }
  storeSums(to, s0, s1, s2, s3, isFirst)
}

/** The first eight bytes of two rows, in pairs; and the last eight. */
function firstPairs(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
}

function lastPairs(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
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

/** Opens a tile of pairs of rows: of each pair 32 outputs, two bytes each. */
function openRows(rows: usize, column: usize, pairs: i32): void {
  const mask = v128.load(nibbles())
  let to = openedRows()
  for (const end = rows + ((<usize>pairs) << 3); rows < end; rows += 8) {
    const a = v128.load(load<usize>(rows) + column)
    const b = v128.load(load<usize>(rows, 4) + column)
    const first = firstPairs(a, b)
    const last = lastPairs(a, b)
    v128.store(to, lowerHalves(first, mask))
    v128.store(to, lowerHalves(last, mask), 16)
    v128.store(to, upperHalves(first, mask), 32)
    v128.store(to, upperHalves(last, mask), 48)
    to += 64
  }
}

/** `addRows` over opened ones. */
function addOpened(to: usize, q: usize, pairs: i32, isFirst: bool): void {
  let s0 = i16x8.splat(0)
  let s1 = i16x8.splat(0)
  let s2 = i16x8.splat(0)
  let s3 = i16x8.splat(0)
  let n = openedRows()
  for (const end = q + ((<usize>pairs) << 1); q < end; q += 2) {
    const factors = v128.load16_splat(q)
    s0 = i16x8.add(s0, pairSums(factors, v128.load(n)))
    s1 = i16x8.add(s1, pairSums(factors, v128.load(n, 16)))
    s2 = i16x8.add(s2, pairSums(factors, v128.load(n, 32)))
    s3 = i16x8.add(s3, pairSums(factors, v128.load(n, 48)))
    n += 64
  }
  storeSums(to, s0, s1, s2, s3, isFirst)
}

/** Adds the terms of a tile to y, whose rows are `O` numbers apart: all 32 columns, or `width` at the edge. */
function addTile(y: usize, scales: usize, minima: usize, tokens: i32, width: i32, O: i32): void {
  if (width >= TILE) {
    for (let t = 0; t < tokens; t++) addTerms(rowAt(y, t, O), scales, minima, t)
    return
  }
  // At the edge numbers go through a tile of their own, so that nothing past them is touched.
  const edgeScales = edgeColumns() + bytes(TILE)
  const edgeMinima = edgeScales + (TILE << 1)
  memory.copy(edgeScales, scales, (<usize>width) << 1)
  memory.copy(edgeMinima, minima, (<usize>width) << 1)
  for (let t = 0; t < tokens; t++) {
    memory.copy(edgeColumns(), rowAt(y, t, O), bytes(width))
    addTerms(edgeColumns(), edgeScales, edgeMinima, t)
    memory.copy(rowAt(y, t, O), edgeColumns(), bytes(width))
  }
}

function addTerms(y: usize, scales: usize, minima: usize, t: i32): void {
  const places = v128.load(halfPlaces())
  const units = v128.load(halfUnits())
  const step = v128.load32_splat(stepOf(t))
  const sum = v128.load32_splat(stepOf(t), 4)
  let products = tileSums() + bytes(t * TILE)
  for (const end = products + bytes(TILE); products < end; products += 16) {
    const four = fourHalves(scales, places, units)
    const terms = fourTerms(four, step, v128.load(products), fourHalves(minima, places, units), sum)
    v128.store(y, f32x4.add(v128.load(y), terms))
    y += 16
    scales += 8
    minima += 8
  }
}
