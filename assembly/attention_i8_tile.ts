/**
 * attention_i8 for many tokens: a block of queries of one head at a time, as attention_tile.ts does it. The inner products
 * are exact integers, so their tiles need no order; values are widened to float32, exactly, a panel at a time.
 */
import { queriesPerBlock, weightStride } from './attention_tile'
import { addByteRows, addLanes } from './byte_rows'
import { multiplyArray, scaleArray } from './elementwise'
import { bytes } from './float32'
import { addOuterProducts } from './outer_product'
import { quantizeSteps } from './quantized_steps'
import { attentionRows, attentionWeights, MOST_ROWS } from './scratch'
import { softmaxRow } from './softmax_row'
import { rowAt } from './units'

/** A tile: eight accumulators fit the registers, with six operands. */
const TILE_QUERIES: i32 = 2
const TILE_KEYS: i32 = 4

/** Keys that stay in a first-level cache while all queries of a block meet them. */
const BLOCK_KEYS: i32 = 64

/** Rows of a panel of values: a block of terms of outer_product.ts. */
const PANEL: i32 = 256

/** How many queries a block holds; 0 where tiles do not fit. */
export function byteQueriesPerBlock(T: i32, S: i32, K: i32): i32 {
  const block = queriesPerBlock(T, S, K)
  return block >= TILE_KEYS && K >= 16 && (K & 15) == 0 ? block : 0
}

/** One head, `block` queries at a time. */
export function attendBytesTiled(
  y: usize, // [T, H, K] from the head on
  query: usize, // [T, H, K] from the head on
  key: usize, // [C, K] i8
  key_scales: usize, // [C]
  value: usize, // [C, K] i8
  value_scales: usize, // [C]
  scale: f32,
  T: i32,
  S: i32,
  H: i32,
  K: i32,
  block: i32,
): void {
  const weights = attentionWeights()
  const apart = weightStride(S)
  const token = H * K
  for (let t = 0; t < T; t += block) {
    const first = min<i32>(t, T - block)
    const shared = S - T + first + 1
    const to = rowAt(y, first, token)
    quantizeQueries(to, rowAt(query, first, token), scale, token, K, block)
    multiplyKeys(weights, key, key_scales, apart, K, block, shared + block - 1)
    for (let i = 0; i < block; i++) {
      const row = rowAt(weights, i, apart)
      softmaxRow(row, row, shared + i)
      multiplyArray(row, value_scales, shared + i)
      memory.fill(rowAt(to, i, token), 0, bytes(K))
    }
    addPanels(to, weights, value, token, apart, K, block, shared)
    const rest = value + <usize>shared * <usize>K
    for (let i = 1; i < block; i++)
      addByteRows(rowAt(to, i, token), rest, rowAt(weights, i, apart) + bytes(shared), i, K)
  }
}

/** Queries of the block as int16, [block, K]. */
function queries(): usize {
  return attentionRows()
}

/** Their steps, [block]: behind the queries, which fill half of their scratch at most. */
function steps(): usize {
  return attentionRows() + ((<usize>MOST_ROWS) << 1)
}

function quantizeQueries(y: usize, query: usize, scale: f32, token: i32, K: i32, block: i32): void {
  let q = queries()
  for (let i = 0; i < block; i++) {
    // The scaled query stands in the output row on its way.
    const row = rowAt(y, i, token)
    scaleArray(row, rowAt(query, i, token), scale, K)
    store<f32>(steps() + bytes(i), quantizeSteps(q, row, K))
    q += (<usize>K) << 1
  }
}

/** The scores of all queries of the block over `width` positions. */
function multiplyKeys(
  scores: usize, // [block, apart]
  key: usize, // [width, K] i8
  key_scales: usize, // [width]
  apart: i32,
  K: i32,
  block: i32,
  width: i32,
): void {
  for (let panel = 0; panel < width; panel += BLOCK_KEYS) {
    const end = min<i32>(panel + BLOCK_KEYS, width)
    for (let i = 0; i < block; i += TILE_QUERIES) {
      const i0 = min<i32>(i, block - TILE_QUERIES)
      for (let s = panel; s < end; s += TILE_KEYS) {
        // At the end a tile is moved back to overlap its neighbour.
        const s0 = min<i32>(s, width - TILE_KEYS)
        const rows = key + <usize>s0 * <usize>K
        multiplyTile(rowAt(scores, i0, apart) + bytes(s0), apart, i0, rows, key_scales + bytes(s0), K)
      }
    }
  }
}

/** The scores of queries i and i + 1 over four positions. */
function multiplyTile(to: usize, apart: i32, i: i32, rows: usize, scales: usize, K: i32): void {
  const row = <usize>K
  let q = queries() + ((<usize>i * row) << 1)
  const next = row << 1
  let a0 = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let a2 = i32x4.splat(0)
  let a3 = i32x4.splat(0)
  let b0 = i32x4.splat(0)
  let b1 = i32x4.splat(0)
  let b2 = i32x4.splat(0)
  let b3 = i32x4.splat(0)
  for (const end = rows + row; rows < end; rows += 8) {
    const qa = v128.load(q)
    const qb = v128.load(q + next)
    const k0 = v128.load8x8_s(rows)
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(qa, k0))
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(qb, k0))
    const k1 = v128.load8x8_s(rows + row)
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(qa, k1))
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(qb, k1))
    const k2 = v128.load8x8_s(rows + row * 2)
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(qa, k2))
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(qb, k2))
    const k3 = v128.load8x8_s(rows + row * 3)
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(qa, k3))
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(qb, k3))
    q += 16
  }
  const keyScales = v128.load(scales)
  const ofQuery = steps() + bytes(i)
  const first = f32x4.mul(v128.load32_splat(ofQuery), keyScales)
  const second = f32x4.mul(v128.load32_splat(ofQuery, 4), keyScales)
  v128.store(to, f32x4.mul(first, f32x4.convert_i32x4_s(addLanes(a0, a1, a2, a3))))
  v128.store(to + bytes(apart), f32x4.mul(second, f32x4.convert_i32x4_s(addLanes(b0, b1, b2, b3))))
}

/** Adds the weighted values of the positions that all queries of the block see. */
function addPanels(
  y: usize,
  weights: usize, // [block, apart]
  value: usize, // [shared, K] i8
  token: i32,
  apart: i32,
  K: i32,
  block: i32,
  shared: i32,
): void {
  const panel = attentionRows()
  const most = min<i32>(PANEL, MOST_ROWS / K)
  for (let s = 0; s < shared; s += most) {
    const size = min<i32>(most, shared - s)
    widen(panel, value + <usize>s * <usize>K, size * K)
    addOuterProducts<f32>(y, 0, token, weights + bytes(s), apart, 1, panel, K, 0, block, K, size)
  }
}

/** `count` int8 numbers, a multiple of eight, as float32. */
function widen(to: usize, from: usize, count: i32): void {
  for (const end = from + <usize>count; from < end; from += 8) {
    const eight = v128.load8x8_s(from)
    v128.store(to, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(eight)))
    v128.store(to, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(eight)), 16)
    to += 32
  }
}
