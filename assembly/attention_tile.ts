/**
 * attention for many tokens, which is compute-bound: a block of queries of one head at a time, its scores and its
 * sums by the tiles of the matrix products (linear_tile.ts, outer_product.ts), which give the bits of one query alone.
 *
 * The positions that all queries of a block attend to are multiplied as one matrix; earlier positions of earlier queries, where
 * a window slides, and further positions of later queries are added row by row. Scores of other positions are computed, to fill
 * the tiles, and never read.
 */
import { capScores } from './cap_scores'
import { scaleArray } from './elementwise'
import { bytes } from './float32'
import { isTiled, linearTiled } from './linear_tile'
import { addOuterProducts } from './outer_product'
import { attentionRows, attentionWeights, MOST_ROWS, MOST_WEIGHTS } from './scratch'
import { softmaxRow } from './softmax_row'
import { rowAt } from './units'
import { addRows } from './weighted_rows'

/** Queries of a block, at most. */
export const MOST_QUERIES: i32 = 32

/**
 * How many queries a block holds: no more than a window, so that there are positions that all of them see.
 * @param parts into which `attentionWeights` and `attentionRows` are divided, one for each matrix of a block
 */
export function queriesPerBlock(T: i32, S: i32, W: i32, K: i32, parts: i32 = 1): i32 {
  const weights = MOST_WEIGHTS / parts / weightStride(positionsOf(S, W))
  const room = min<i32>(weights, MOST_ROWS / parts / max<i32>(K, 1))
  return min<i32>(min<i32>(T, W), min<i32>(MOST_QUERIES, room))
}

/** The most positions that the queries of a block see, and those before them in a block of 64. */
export function positionsOf(S: i32, W: i32): i32 {
  return W < S ? min<i32>(S, W + MOST_QUERIES + 63) : S
}

/** From one query's weights to the next: an odd number of lines, so that they do not all fall into the same cache sets. */
export function weightStride(width: i32): i32 {
  return (((width + 15) >> 4) | 1) << 4
}

/** Whether `attendTiled` takes blocks of this shape. */
export function isAttentionTiled(block: i32, S: i32, W: i32, K: i32): bool {
  return isTiled(block, K, min<i32>(S, W))
}

/** One head, `block` queries at a time. */
export function attendTiled(
  y: usize, // [T, H, K] from the head on
  query: usize, // [T, H, K] from the head on
  key: usize, // [C, K]
  value: usize, // [C, K]
  scale: f32,
  cap: f32,
  T: i32,
  S: i32,
  W: i32,
  H: i32,
  K: i32,
  block: i32,
): void {
  const scaled = attentionRows()
  const weights = attentionWeights()
  const apart = weightStride(positionsOf(S, W))
  const token = H * K
  for (let t = 0; t < T; t += block) {
    const first = min<i32>(t, T - block)
    // The positions that the first query sees, and those that all of them do.
    const end = S - T + first + 1
    const begin = max<i32>(0, end - W)
    const all = max<i32>(0, end + block - 1 - W)
    const early = all - begin
    const to = rowAt(y, first, token)
    for (let i = 0; i < block; i++) scaleArray(rowAt(scaled, i, K), rowAt(query, first + i, token), scale, K)
    linearTiled<f32>(weights, scaled, rowAt(key, begin, K), 0, 0, block, apart, K, end + block - 1 - begin)
    for (let i = 0; i < block; i++) {
      const own = max<i32>(0, end + i - W)
      const row = rowAt(weights, i, apart) + bytes(own - begin)
      capScores(row, cap, end + i - own)
      softmaxRow(row, row, end + i - own)
      memory.fill(rowAt(to, i, token), 0, bytes(K))
      if (own < all)
        addRows<f32>(rowAt(to, i, token), rowAt(value, own, K), row, 0, 1, K, K, all - own, all - own)
    }
    const shared = end - all
    addOuterProducts<f32>(
      to,
      0,
      token,
      weights + bytes(early),
      apart,
      1,
      rowAt(value, all, K),
      K,
      0,
      block,
      K,
      shared,
    )
    const rest = rowAt(value, end, K)
    for (let i = 1; i < block; i++)
      addRows<f32>(rowAt(to, i, token), rest, rowAt(weights, i, apart) + bytes(end - begin), 0, 1, K, K, i, i)
  }
}
