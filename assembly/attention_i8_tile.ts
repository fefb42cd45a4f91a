/**
 * attention_i8 for many tokens: a block of queries of one head at a time, like attention_tile.ts. The inner products are
 * exact integers, so tiles and the sums over a block of positions may be added in any order. A position after the query,
 * or before its window, has the factor 0 in its block.
 *
 * Where vectors are joined, packing for the tiles of tile.ts pays (attention_i8_packed.ts); else tiles are read in place.
 */
import { MOST_QUERIES, positionsOf, queriesPerBlock, weightStride } from './attention_tile'
import { addPackedValues, multiplyPackedKeys } from './attention_i8_packed'
import { addLanes } from './byte_rows'
import { addByteValues, addSums, roundFactors, VALUE_BLOCK } from './byte_values'
import { capScores } from './cap_scores'
import { divideArray, scaleArray } from './elementwise'
import { bytes, largest, sum } from './float32'
import { lowerPairs, multiplyPairs, upperPairs } from './int16_pairs'
import { quantizeSteps } from './quantized_steps'
import { attentionRows, attentionWeights, MOST_ROWS } from './scratch'
import { exponentials } from './softmax_row'
import { rowAt } from './units'

/** A tile: eight accumulators fit the registers, with six operands. */
const TILE_QUERIES: i32 = 2
const TILE_KEYS: i32 = 4

/** Keys that stay in a first-level cache while all queries of a block meet them. */
const BLOCK_KEYS: i32 = 64

/** How many queries a block holds; 0 where tiles do not fit. */
export function byteQueriesPerBlock(T: i32, S: i32, W: i32, K: i32): i32 {
  const block = queriesPerBlock(T, S, W, K)
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
  cap: f32,
  T: i32,
  S: i32,
  W: i32,
  H: i32,
  K: i32,
  block: i32,
): void {
  const weights = attentionWeights()
  const apart = weightStride(positionsOf(S, W))
  const token = H * K
  for (let t = 0; t < T; t += block) {
    const first = min<i32>(t, T - block)
    // Positions are counted from the block of values on that the first query's window begins in.
    const start = max<i32>(0, S - T + first + 1 - W) & ~(VALUE_BLOCK - 1)
    const shared = S - T + first + 1 - start
    const keys = key + <usize>start * <usize>K
    const values = value + <usize>start * <usize>K
    const to = rowAt(y, first, token)
    quantizeQueries(to, rowAt(query, first, token), scale, token, K, block)
    const width = shared + block - 1
    if (WIDE)
      multiplyPackedKeys(weights, queries(), steps(), keys, key_scales + bytes(start), apart, K, block, width)
    else multiplyKeys(weights, keys, key_scales + bytes(start), apart, K, block, width)
    for (let i = 0; i < block; i++) {
      const skipped = max<i32>(0, shared + i - W)
      const seen = shared + i - skipped
      const row = rowAt(weights, i, apart) + bytes(skipped)
      capScores(row, cap, seen)
      exponentials(row, row, largest(row, seen), seen)
      store<f32>(totals() + bytes(i), sum(row, seen))
      memory.fill(rowAt(to, i, token), 0, bytes(K))
    }
    // Without packing, queries are taken two by two.
    const paired = WIDE ? block : block & ~1
    for (let s = 0; s < shared + paired - 1; s += VALUE_BLOCK)
      addBlock(to, weights, values, value_scales + bytes(start), token, apart, K, paired, shared, W, s)
    for (let i = paired; i < block; i++) {
      const from = max<i32>(0, shared + i - W) & ~(VALUE_BLOCK - 1)
      const skipped = max<i32>(0, shared + i - W) - from
      const row = rowAt(weights, i, apart) + bytes(from)
      const rest = values + <usize>from * <usize>K
      addByteValues(
        rowAt(to, i, token),
        rest,
        row,
        value_scales + bytes(start + from),
        skipped,
        shared + i - from,
        K,
      )
    }
    for (let i = 0; i < block; i++) divideArray(rowAt(to, i, token), load<f32>(totals() + bytes(i)), K)
  }
}

/** Queries of the block as int16, [block, K]. */
function queries(): usize {
  return attentionRows()
}

/** Their steps, [block], and then those of their factors: behind the queries, which fill half of their scratch at most. */
function steps(): usize {
  return attentionRows() + ((<usize>MOST_ROWS) << 1)
}

/** The sums of their exponentials, [block]. */
function totals(): usize {
  return steps() + bytes(MOST_QUERIES)
}

/** After the scores, where the queries were: sixteen columns of a block of values in pairs of rows, [32, 16, 2] i16. */
function pairs(): usize {
  return attentionRows()
}

/** And behind them the factors of the block, [block, 64] i16. */
function factors(): usize {
  return pairs() + bytes(VALUE_BLOCK * 8)
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

/** Adds the weighted values of the positions from `first` on that are a block. */
function addBlock(
  y: usize,
  weights: usize, // [block, apart]
  value: usize, // [shared + block - 1, K] i8
  scales: usize, // [shared + block - 1]
  token: i32,
  apart: i32,
  K: i32,
  block: i32, // even
  shared: i32,
  W: i32,
  first: i32,
): void {
  const size = min<i32>(VALUE_BLOCK, shared + block - 1 - first)
  const width = (<usize>VALUE_BLOCK) << 1
  for (let i = 0; i < block; i++) {
    const q = factors() + <usize>i * width
    const seen = min<i32>(size, max<i32>(0, shared + i - first))
    const skipped = min<i32>(seen, max<i32>(0, max<i32>(0, shared + i - W) - first))
    const row = rowAt(weights, i, apart) + bytes(first)
    store<f32>(steps() + bytes(i), roundFactors(q, row, scales + bytes(first), skipped, seen))
    memory.fill(q + ((<usize>seen) << 1), 0, width - ((<usize>seen) << 1))
  }
  value += <usize>first * <usize>K
  if (WIDE) {
    addPackedValues(y, factors(), steps(), value, token, K, block, size)
    return
  }
  for (let k = 0; k < K; k += 16) {
    pairRows(value + k, size, K)
    for (let i = 0; i < block; i += 2) addTile(rowAt(y, i, token) + bytes(k), token, i, size)
  }
}

/** Sixteen columns of a block in pairs of rows; a last row without a second is its own. */
function pairRows(rows: usize, size: i32, K: i32): void {
  let to = pairs()
  for (let s = 0; s < size; s += 2) {
    const next = s + 1 < size ? rows + <usize>K : rows
    const a0 = v128.load8x8_s(rows)
    const b0 = v128.load8x8_s(next)
    const a1 = v128.load8x8_s(rows, 8)
    const b1 = v128.load8x8_s(next, 8)
    v128.store(to, lowerPairs(a0, b0))
    v128.store(to, upperPairs(a0, b0), 16)
    v128.store(to, lowerPairs(a1, b1), 32)
    v128.store(to, upperPairs(a1, b1), 48)
    rows += (<usize>K) << 1
    to += 64
  }
}

/** Sixteen columns of queries i and i + 1. */
function addTile(y: usize, token: i32, i: i32, size: i32): void {
  const row = (<usize>VALUE_BLOCK) << 1
  let q = factors() + <usize>i * row
  let a0 = i32x4.splat(0)
  let a1 = i32x4.splat(0)
  let a2 = i32x4.splat(0)
  let a3 = i32x4.splat(0)
  let b0 = i32x4.splat(0)
  let b1 = i32x4.splat(0)
  let b2 = i32x4.splat(0)
  let b3 = i32x4.splat(0)
  let from = pairs()
  for (const end = q + bytes((size + 1) >> 1); q < end; q += 4) {
    const qa = v128.load32_splat(q)
    const qb = v128.load32_splat(q + row)
    const v0 = v128.load(from)
    a0 = multiplyPairs(a0, qa, v0)
    b0 = multiplyPairs(b0, qb, v0)
    const v1 = v128.load(from, 16)
    a1 = multiplyPairs(a1, qa, v1)
    b1 = multiplyPairs(b1, qb, v1)
    const v2 = v128.load(from, 32)
    a2 = multiplyPairs(a2, qa, v2)
    b2 = multiplyPairs(b2, qb, v2)
    const v3 = v128.load(from, 48)
    a3 = multiplyPairs(a3, qa, v3)
    b3 = multiplyPairs(b3, qb, v3)
    from += 64
  }
  addSums(y, v128.load32_splat(steps() + bytes(i)), a0, a1, a2, a3)
  addSums(y + bytes(token), v128.load32_splat(steps() + bytes(i + 1)), b0, b1, b2, b3)
}
