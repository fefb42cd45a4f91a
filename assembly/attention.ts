/**
 * attention: causal self-attention of T new tokens over a cache of S, for chosen heads; +0 for the others.
 * attention_backward: its gradients over a whole sequence. Formulas and order: src/ops/attention.ts.
 */
import { attendHeads, dotRows, GROUP } from './attention_stream'
import { attendTiled, isAttentionTiled, queriesPerBlock } from './attention_tile'
import { capScores, capSlopes } from './cap_scores'
import { addScaled, scaleArray } from './elementwise'
import { bytes, dot } from './float32'
import { attentionWeights, scoreGradients, scoreSlopes } from './scratch'
import { softmaxRow } from './softmax_row'
import { clearOwned, keyHeadOf, rowAt, unitAt } from './units'
import { addRows } from './weighted_rows'

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
  const weights = attentionWeights()
  const gradients = scoreGradients()
  memory.fill(key_grad, 0, size)
  memory.fill(value_grad, 0, size)
  for (let h = 0; h < H; h++) {
    const g = keyHeadOf(0, h, G, H)
    const headKey = rowAt(key, g * C, K)
    const headValue = rowAt(value, g * C, K)
    for (let t = 0; t < T; t++) {
      const visible = min<i32>(t + 1, W)
      const first = t + 1 - visible
      const here = rowAt(0, t * H + h, K)
      const seenKey = rowAt(headKey, first, K)
      // The scaled query stands in query_grad's row until every past position has received it.
      const row = query_grad + here
      scaleArray(row, query + here, scale, K)
      dotRows(weights, row, seenKey, visible, K)
      if (cap > 0) capSlopes(scoreSlopes(), weights, cap, visible)
      capScores(weights, cap, visible)
      softmaxRow(weights, weights, visible)
      gradeScores(y_grad + here, rowAt(headValue, first, K), cap > 0, visible, K)
      for (let s = 0; s < visible; s++) {
        const past = rowAt(0, (first + s) * G + g, K)
        addScaled<f32>(value_grad + past, y_grad + here, load<f32>(weights + bytes(s)), K)
        addScaled<f32>(key_grad + past, row, load<f32>(gradients + bytes(s)), K)
      }
      memory.fill(row, 0, bytes(K))
      addRows<f32>(row, seenKey, gradients, 0, 1, K, K, visible, visible)
      scaleArray(row, row, scale, K)
    }
  }
}

/** `scoreGradients`[s] = w[s] (w_grad[s] - <w, w_grad>), with w_grad[s] = <y_grad, value[s]>; times `scoreSlopes` under a cap. */
function gradeScores(y_grad: usize, value: usize, isCapped: bool, visible: i32, K: i32): void {
  const weights = attentionWeights()
  const gradients = scoreGradients()
  dotRows(gradients, y_grad, value, visible, K)
  const mean = dot<f32>(weights, gradients, visible)
  for (let s = 0; s < visible; s++) {
    const at = bytes(s)
    const gradient = load<f32>(weights + at) * (load<f32>(gradients + at) - mean)
    store<f32>(gradients + at, isCapped ? gradient * load<f32>(scoreSlopes() + at) : gradient)
  }
}
