/**
 * attention_i8 for many tokens, its products by tiles of queries (tile.ts): by lines of keys, whose numbers are packed in pairs,
 * and by lines of columns of the values (outer_product.ts).
 */
import { addSums, VALUE_BLOCK } from './byte_values'
import { bytes, STRIPE } from './float32'
import { addOuterProducts, storePairs } from './outer_product'
import { accumulators, packedLeft, packedRight, quantized, tokenSteps } from './scratch'
import { heightOf, LINE, multiplyTile, SHORT, Short, storeLine, Tall } from './tile'
import { transpose16 } from './transpose_16'
import { rowAt } from './units'

/** Keys of a line, and of a block that stays in a cache while all queries meet it; longer keys meet them line by line. */
const PANEL_KEYS: i32 = <i32>(LINE / 4)
const BLOCK_KEYS: i32 = 64
const LONG_KEY: i32 = 512

/** The scores of `block` queries over `width` positions. */
export function multiplyPackedKeys(
  scores: usize, // [block, apart]
  queries: usize, // [block, K] i16
  steps: usize, // [block]
  key: usize, // [width, K] i8
  key_scales: usize, // [width]
  apart: i32,
  K: i32,
  block: i32,
  width: i32,
): void {
  packQueries(queries, block, K)
  const most = K <= LONG_KEY ? BLOCK_KEYS : PANEL_KEYS
  for (let s = 0; s < width; s += most)
    multiplyBlock(scores, steps, key, key_scales, apart, K, block, s, min<i32>(most, width - s))
}

/** y += the values of a block of positions, weighted by its factors. */
export function addPackedValues(
  y: usize, // [block, K], `token` numbers apart
  factors: usize, // [block, VALUE_BLOCK] i16, 0 from `size` on
  steps: usize, // [block]
  value: usize, // [size, K] i8
  token: i32,
  K: i32,
  block: i32,
  size: i32,
): void {
  const sums = quantized() // [block, K] i32
  memory.fill(sums, 0, bytes(block * K))
  addOuterProducts<i8>(sums, 0, K, factors, VALUE_BLOCK >> 1, 1, value, K, 0, block, K, size)
  for (let i = 0; i < block; i++) {
    const step = v128.load32_splat(steps + bytes(i))
    let to = rowAt(y, i, token)
    for (let from = rowAt(sums, i, K), end = from + bytes(K); from < end; from += STRIPE, to += STRIPE)
      addSums(to, step, v128.load(from), v128.load(from, 16), v128.load(from, 32), v128.load(from, 48))
  }
}

/** The scales of a block of keys, [64]. */
function scalesOfKeys(): usize {
  return tokenSteps()
}

/** The queries as [tile][pair of numbers][query]. */
function packQueries(queries: usize, block: i32, K: i32): void {
  let to = packedLeft()
  for (let i = 0, height = 0; i < block; i += height) {
    height = heightOf<i8, f32>(block - i)
    const i0 = min<i32>(i, block - height)
    for (let pair: usize = 0; pair < <usize>(K >> 1); pair++)
      for (let k = 0; k < height; k++) {
        store<u32>(to, load<u32>(queries + bytes((i0 + k) * (K >> 1)) + (pair << 2)))
        to += 4
      }
  }
}

/** The scores of all queries of the block over `count` positions from s on. */
function multiplyBlock(
  scores: usize, // [block, apart]
  steps: usize, // [block]
  key: usize, // [*, K] i8
  key_scales: usize, // [*]
  apart: i32,
  K: i32,
  block: i32,
  s: i32,
  count: i32,
): void {
  const size = LINE * <usize>(K >> 1)
  packKeys(key + <usize>s * <usize>K, K, count)
  memory.copy(scalesOfKeys(), key_scales + bytes(s), bytes(count))
  let left = packedLeft()
  for (let i = 0, height = 0; i < block; i += height) {
    height = heightOf<i8, f32>(block - i)
    const i0 = min<i32>(i, block - height)
    let right = packedRight()
    for (let panel = 0; panel < count; panel += PANEL_KEYS) {
      const sums = accumulators()
      memory.fill(sums, 0, LINE * <usize>height)
      if (height == SHORT)
        multiplyTile<i8, f32, Short>(left, right, size, sums, sums + LINE, sums + LINE * 2, sums + LINE * 3)
      else
        multiplyTile<i8, f32, Tall>(
          left,
          right,
          size,
          sums,
          sums + LINE,
          sums + LINE * 2,
          sums + LINE * 3,
          sums + LINE * 4,
        )
      // A row has room for a whole line (weightStride).
      for (let k = 0; k < height; k++)
        scaleLine(
          rowAt(scores, i0 + k, apart) + bytes(s + panel),
          sums + LINE * <usize>k,
          v128.load32_splat(steps + bytes(i0 + k)),
          scalesOfKeys() + bytes(panel),
        )
      right += size
    }
    left += bytes(height * (K >> 1))
  }
}

/** Keys as [panel][pair of numbers][key] int16. */
function packKeys(key: usize, K: i32, count: i32): void {
  // Two bytes of a key are a number of two bytes.
  transpose16(quantized(), key, count, K >> 1)
  let to = packedRight()
  for (let panel = 0; panel < count; panel += PANEL_KEYS) {
    let from = quantized() + ((<usize>panel) << 1)
    for (const end = to + LINE * <usize>(K >> 1); to < end; to += LINE) {
      storePairs(to, v128.load(from))
      if (WIDE) storePairs(to + 32, v128.load(from, 16))
      from += (<usize>count) << 1
    }
  }
}

/** A line of sums, times a step and the scales of its keys. */
function scaleLine(to: usize, sums: usize, step: v128, scales: usize): void {
  const score0 = scaled(v128.load(sums), step, v128.load(scales))
  const score1 = scaled(v128.load(sums, 16), step, v128.load(scales, 16))
  const score2 = WIDE ? scaled(v128.load(sums, 32), step, v128.load(scales, 32)) : score0
  const score3 = WIDE ? scaled(v128.load(sums, 48), step, v128.load(scales, 48)) : score1
  storeLine(to, score0, score1, score2, score3)
}

function scaled(sums: v128, step: v128, scales: v128): v128 {
  return f32x4.mul(f32x4.mul(step, scales), f32x4.convert_i32x4_s(sums))
}
