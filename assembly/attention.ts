/**
 * attention: causal self-attention of T new tokens over a cache of S, for chosen heads; +0 for the others. Formula and order:
 * src/ops/attention.ts.
 */
import { attendHeads, GROUP } from './attention_stream'
import { attendTiled, isAttentionTiled, queriesPerBlock } from './attention_tile'
import { clearOwned, keyHeadOf, rowAt, unitAt } from './units'

export function attention(
  y: usize, // [T, H, K]
  query: usize, // [T, H, K]
  key: usize, // [G, C, K]
  value: usize, // [G, C, K]
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
  attention_part(y, query, key, value, heads, key_heads, scale, cap, T, S, W, C, H, G, K, R, 0, heads ? R : H)
}

/** Heads from..to, or those of entries from..to of the list. */
export function attention_part(
  y: usize, // [T, H, K]
  query: usize, // [T, H, K]
  key: usize, // [G, C, K]
  value: usize, // [G, C, K]
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
  const block = queriesPerBlock(T, S, W, K)
  if (isAttentionTiled(block, S, W, K)) {
    for (let r = from; r < to; r++) {
      const h = unitAt(heads, r)
      const at = rowAt(0, h, K)
      const past = rowAt(0, keyHeadOf(key_heads, h, G, H) * C, K)
      attendTiled(y + at, query + at, key + past, value + past, scale, cap, T, S, W, H, K, block)
    }
    return
  }
  for (let r = from; r < to; r += GROUP)
    attendHeads(
      y,
      query,
      key,
      value,
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
      r,
      min<i32>(GROUP, to - r),
    )
}
