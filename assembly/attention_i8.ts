/**
 * attention_i8: causal self-attention of T new tokens over a cache of int8 rows, for chosen heads; +0 for the others.
 * Formulas and order: src/ops/attention_i8.ts. Many tokens: attention_i8_tile.ts; heads that share keys: attention_i8_shared.ts.
 */
import { attendBytesTiled, byteQueriesPerBlock } from './attention_i8_tile'
import { attendBytesShared, sharesRows } from './attention_i8_shared'
import { dotByteRows, Three, Two } from './byte_rows'
import { addByteValues, VALUE_BLOCK } from './byte_values'
import { capScores } from './cap_scores'
import { divideArray, scaleArray } from './elementwise'
import { bytes, largest, sum } from './float32'
import { quantizeSteps } from './quantized_steps'
import { attentionWeights } from './scratch'
import { exponentials } from './softmax_row'
import { clearOwned, keyHeadOf, rowAt, unitAt } from './units'

export function attention_i8(
  y: usize, // [T, H, K]
  query: usize, // [T, H, K]
  key: usize, // [G, C, K] i8
  key_scales: usize, // [G, C]
  value: usize, // [G, C, K] i8
  value_scales: usize, // [G, C]
  heads: usize, // [R] or null
  key_heads: usize, // [H] or null
  scale: f32,
  cap: f32,
  T: i32,
  S: i32,
  W: i32,
  C: i32,
  H: i32,
  G: i32,
  K: i32,
  R: i32,
): void {
  attention_i8_part(
    y,
    query,
    key,
    key_scales,
    value,
    value_scales,
    heads,
    key_heads,
    scale,
    cap,
    T,
    S,
    W,
    C,
    H,
    G,
    K,
    R,
    0,
    heads ? R : H,
  )
}

/** Heads from..to, or those of entries from..to of the list. */
export function attention_i8_part(
  y: usize, // [T, H, K]
  query: usize, // [T, H, K]
  key: usize, // [G, C, K] i8
  key_scales: usize, // [G, C]
  value: usize, // [G, C, K] i8
  value_scales: usize, // [G, C]
  heads: usize, // [R] or null
  key_heads: usize, // [H] or null
  scale: f32,
  cap: f32,
  T: i32,
  S: i32,
  W: i32,
  C: i32,
  H: i32,
  G: i32,
  K: i32,
  R: i32,
  from: i32,
  to: i32,
): void {
  if (heads) clearOwned(y, heads, T, H, K, R, from, to)
  const block = byteQueriesPerBlock(T, S, W, K)
  for (let r = from, count = 1; r < to; r += count) {
    const h = unitAt(heads, r)
    const g = keyHeadOf(key_heads, h, G, H)
    const past = g * C
    const at = rowAt(0, h, K)
    const first = <usize>past * <usize>K
    const scales = bytes(past)
    count = 1
    if (block > 0) {
      attendBytesTiled(
        y + at,
        query + at,
        key + first,
        key_scales + scales,
        value + first,
        value_scales + scales,
        scale,
        cap,
        T,
        S,
        W,
        H,
        K,
        block,
      )
      continue
    }
    // Neighbours that read the same key head.
    if (sharesRows(K))
      while (count < 3 && r + count < to && keyHeadOf(key_heads, unitAt(heads, r + count), G, H) == g) count++
    const at1 = rowAt(0, unitAt(heads, r + min<i32>(1, count - 1)), K)
    const at2 = rowAt(0, unitAt(heads, r + count - 1), K)
    for (let t = 0; t < T; t++) {
      const token = rowAt(0, t * H, K)
      const end = S - T + t + 1
      const to0 = y + token + at
      const query0 = query + token + at
      if (count == 1)
        attendBytes(
          to0,
          query0,
          key + first,
          key_scales + scales,
          value + first,
          value_scales + scales,
          scale,
          cap,
          end,
          W,
          K,
        )
      else if (count == 2)
        attendBytesShared<Two>(
          to0,
          y + token + at1,
          y + token + at2,
          query0,
          query + token + at1,
          query + token + at2,
          key + first,
          key_scales + scales,
          value + first,
          value_scales + scales,
          scale,
          cap,
          end,
          W,
          K,
        )
      else
        attendBytesShared<Three>(
          to0,
          y + token + at1,
          y + token + at2,
          query0,
          query + token + at1,
          query + token + at2,
          key + first,
          key_scales + scales,
          value + first,
          value_scales + scales,
          scale,
          cap,
          end,
          W,
          K,
        )
    }
  }
}

/** One query of one head. */
function attendBytes(
  y: usize, // [K]
  query: usize, // [K]
  key: usize, // [C, K] i8
  key_scales: usize, // [C]
  value: usize, // [C, K] i8
  value_scales: usize, // [C]
  scale: f32,
  cap: f32,
  end: i32,
  W: i32,
  K: i32,
): void {
  // Blocks of values begin at multiples of 64, and the weights at that of the first one.
  const visible = min<i32>(end, W)
  const first = end - visible
  const skipped = first & (VALUE_BLOCK - 1)
  const start = first - skipped
  const scores = attentionWeights() + bytes(skipped)
  // The query stands in the output row, scaled and then as int16, until the weights are known.
  scaleArray(y, query, scale, K)
  const step = quantizeSteps(y, y, K)
  dotByteRows(scores, y, step, key + <usize>first * <usize>K, key_scales + bytes(first), visible, K)
  capScores(scores, cap, visible)
  exponentials(scores, scores, largest(scores, visible), visible)
  const total = sum(scores, visible)
  memory.fill(y, 0, bytes(K))
  const values = value + <usize>start * <usize>K
  addByteValues(y, values, attentionWeights(), value_scales + bytes(start), skipped, end - start, K)
  divideArray(y, total, K)
}
