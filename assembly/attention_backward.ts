/**
 * attention_backward: the gradients of attention over a whole sequence. Formula and order: src/ops/attention.ts.
 *
 * Many tokens go a block of queries at a time (attention_tile.ts): the positions that all queries of a block attend to
 * are multiplied as matrices, by the tiles of the matrix products; earlier and further positions are added row by row. Blocks
 * must not overlap, as they add to the gradients of keys and values, so all blocks have nearly one size.
 */
import { dotRows } from './attention_stream'
import { positionsOf, queriesPerBlock, weightStride } from './attention_tile'
import { capScores, capSlopes } from './cap_scores'
import { addScaled, scaleArray } from './elementwise'
import { bytes, dot } from './float32'
import { isTiled, linearTiled } from './linear_tile'
import { addOuterProducts } from './outer_product'
import { attentionRows, attentionWeights, MOST_ROWS, MOST_WEIGHTS, scoreSlopes } from './scratch'
import { softmaxRow } from './softmax_row'
import { keyHeadOf, rowAt } from './units'
import { addRows } from './weighted_rows'

/** What a block has two of: weights and gradients of scores; scaled queries and gradients of outputs. */
const PARTS: i32 = 2

export function attention_backward(
  query_grad: usize, // [T, H, K]
  key_grad: usize, // [T, G, K]
  value_grad: usize, // [T, G, K]
  y_grad: usize, // [T, H, K]
  query: usize, // [T, H, K]
  key: usize, // [G, C, K]
  value: usize, // [G, C, K]
  scale: f32,
  cap: f32,
  T: i32,
  W: i32,
  C: i32,
  H: i32,
  G: i32,
  K: i32,
): void {
  const size = <usize>T * <usize>G * bytes(K)
  memory.fill(key_grad, 0, size)
  memory.fill(value_grad, 0, size)
  const block = blockOf(T, W, K)
  for (let h = 0; h < H; h++) {
    const g = keyHeadOf(0, h, G, H)
    const at = rowAt(0, h, K)
    const keys = rowAt(key, g * C, K)
    const values = rowAt(value, g * C, K)
    const keysGrad = rowAt(key_grad, g, K)
    const valuesGrad = rowAt(value_grad, g, K)
    for (let t = 0, count = 0; t < T; t += count) {
      const here = rowAt(at, t * H, K)
      if (block > 1) {
        // The tokens that are left, by the blocks that are left.
        const blocks = (T - t + block - 1) / block
        count = (T - t + blocks - 1) / blocks
        backBlock(
          query_grad + here,
          keysGrad,
          valuesGrad,
          y_grad + here,
          query + here,
          keys,
          values,
          scale,
          cap,
          t,
          count,
          T,
          W,
          H,
          G,
          K,
        )
      } else {
        count = 1
        backToken(
          query_grad + here,
          keysGrad,
          valuesGrad,
          y_grad + here,
          query + here,
          keys,
          values,
          scale,
          cap,
          t,
          W,
          G,
          K,
        )
      }
    }
  }
}

/** The most queries of a block; 1 where tiles do not take the smallest one. */
function blockOf(T: i32, W: i32, K: i32): i32 {
  const most = queriesPerBlock(T, T, W, K, PARTS)
  if (most <= 1) return 1
  const least = T / ((T + most - 1) / most)
  return isTiled(least, K, least) ? most : 1
}

/** Gradients of scores, and of weights before. */
function scoreGradients(): usize {
  return attentionWeights() + bytes(MOST_WEIGHTS / PARTS)
}

/** The query of token t. Addresses of tokens are those of its head. */
function backToken(
  query_grad: usize, // [K]
  key_grad: usize, // [T, G, K]
  value_grad: usize, // [T, G, K]
  y_grad: usize, // [K]
  query: usize, // [K]
  key: usize, // [C, K]
  value: usize, // [C, K]
  scale: f32,
  cap: f32,
  t: i32,
  W: i32,
  G: i32,
  K: i32,
): void {
  const weights = attentionWeights()
  const gradients = scoreGradients()
  const visible = min<i32>(t + 1, W)
  const first = t + 1 - visible
  const seenKey = rowAt(key, first, K)
  // The scaled query stands in query_grad until every past position has received it.
  scaleArray(query_grad, query, scale, K)
  dotRows(weights, query_grad, seenKey, visible, K)
  dotRows(gradients, y_grad, rowAt(value, first, K), visible, K)
  gradeScores(weights, gradients, cap, visible)
  const past = rowAt(0, first * G, K)
  addTerms(value_grad + past, y_grad, weights, visible, G, K)
  addTerms(key_grad + past, query_grad, gradients, visible, G, K)
  memory.fill(query_grad, 0, bytes(K))
  addRows<f32>(query_grad, seenKey, gradients, 0, 1, K, K, visible, visible)
  scaleArray(query_grad, query_grad, scale, K)
}

/** The queries of tokens t..t + count. */
function backBlock(
  query_grad: usize, // [count, H, K] from the head on
  key_grad: usize, // [T, G, K] from the head on
  value_grad: usize, // [T, G, K] from the head on
  y_grad: usize, // [count, H, K] from the head on
  query: usize, // [count, H, K] from the head on
  key: usize, // [C, K]
  value: usize, // [C, K]
  scale: f32,
  cap: f32,
  t: i32,
  count: i32,
  T: i32,
  W: i32,
  H: i32,
  G: i32,
  K: i32,
): void {
  const weights = attentionWeights()
  const gradients = scoreGradients()
  const scaled = attentionRows()
  const given = scaled + bytes(MOST_ROWS / PARTS)
  const apart = weightStride(positionsOf(T, W))
  const token = H * K
  // The positions that the first query sees, and those that all of them do.
  const end = t + 1
  const begin = max<i32>(0, end - W)
  const all = max<i32>(0, end + count - 1 - W)
  const seen = end + count - 1 - begin
  for (let i = 0; i < count; i++) {
    scaleArray(rowAt(scaled, i, K), rowAt(query, i, token), scale, K)
    memory.copy(rowAt(given, i, K), rowAt(y_grad, i, token), bytes(K))
  }
  linearTiled<f32>(weights, scaled, rowAt(key, begin, K), 0, 0, count, apart, K, seen)
  linearTiled<f32>(gradients, given, rowAt(value, begin, K), 0, 0, count, apart, K, seen)
  for (let i = 0; i < count; i++) {
    const own = max<i32>(0, end + i - W)
    const at = rowAt(0, i, apart) + bytes(own - begin)
    gradeScores(weights + at, gradients + at, cap, end + i - own)
  }
  addPast(value_grad, given, weights, begin, all, end, count, apart, W, G, K)
  addPast(key_grad, scaled, gradients, begin, all, end, count, apart, W, G, K)
  for (let i = 0; i < count; i++) {
    const to = rowAt(query_grad, i, token)
    const own = max<i32>(0, end + i - W)
    memory.fill(to, 0, bytes(K))
    if (own >= all) continue
    const factors = rowAt(gradients, i, apart) + bytes(own - begin)
    addRows<f32>(to, rowAt(key, own, K), factors, 0, 1, K, K, all - own, all - own)
  }
  const shared = rowAt(key, all, K)
  const factors = gradients + bytes(all - begin)
  addOuterProducts<f32>(query_grad, 0, token, factors, apart, 1, shared, K, 0, count, K, end - all)
  for (let i = 0; i < count; i++) {
    const to = rowAt(query_grad, i, token)
    const factors = rowAt(gradients, i, apart) + bytes(end - begin)
    addRows<f32>(to, rowAt(key, end, K), factors, 0, 1, K, K, i, i)
    scaleArray(to, to, scale, K)
  }
}

/** Gradients of all positions that a block sees, from begin on: to each, what its queries pass on, in their order. */
function addPast(
  past_grad: usize, // [T, G, K] from the head on
  rows: usize, // [count, K]
  factors: usize, // [count, apart]
  begin: i32,
  all: i32,
  end: i32,
  count: i32,
  apart: i32,
  W: i32,
  G: i32,
  K: i32,
): void {
  for (let i = 0; i < count; i++) {
    const row = rowAt(rows, i, K)
    const own = max<i32>(0, end + i - W)
    const early = rowAt(factors, i, apart) + bytes(own - begin)
    addTerms(rowAt(past_grad, own * G, K), row, early, all - own, G, K)
    const further = rowAt(factors, i, apart) + bytes(end - begin)
    addTerms(rowAt(past_grad, end * G, K), row, further, i, G, K)
  }
  const to = rowAt(past_grad, all * G, K)
  addOuterProducts<f32>(to, 0, G * K, factors + bytes(all - begin), 1, apart, rows, K, 0, end - all, K, count)
}

/** to[s] += factors[s] * row, s < count. */
function addTerms(
  to: usize, // [count, G, K] from the head on
  row: usize, // [K]
  factors: usize, // [count]
  count: i32,
  G: i32,
  K: i32,
): void {
  for (let s = 0; s < count; s++) addScaled<f32>(rowAt(to, s * G, K), row, load<f32>(factors + bytes(s)), K)
}

/**
 * weights: scores, then their softmax w. gradients: those of the weights, <y_grad, value[s]>, then those of the scores,
 * w[s] (w_grad[s] - <w, w_grad>), times the slope under a cap.
 */
function gradeScores(weights: usize, gradients: usize, cap: f32, visible: i32): void {
  if (cap > 0) capSlopes(scoreSlopes(), weights, cap, visible)
  capScores(weights, cap, visible)
  softmaxRow(weights, weights, visible)
  const mean = dot<f32>(weights, gradients, visible)
  for (let s = 0; s < visible; s++) {
    const at = bytes(s)
    const gradient = load<f32>(weights + at) * (load<f32>(gradients + at) - mean)
    store<f32>(gradients + at, cap > 0 ? gradient * load<f32>(scoreSlopes() + at) : gradient)
  }
}
