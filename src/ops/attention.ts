/**
 * attention: causal self-attention of T new tokens over a cache of S tokens (the new ones included), for chosen heads.
 *
 * New token t stands at position p = S - T + t and sees the W positions up to its own, first..p with first = max(0, p - W + 1):
 *   score[s]  = <query[t, h] * scale, key[h, s]>           striped dot over the head size, scale applied to the query
 *   weight    = softmax(score[first..p])                   float32, striped sum from `first` on
 *   y[t, h]   = sum over s of weight[s] * value[h, s]      sequential in s, starting at +0
 * and +0 for heads that are not chosen; their keys and values are never read. OPT scales q after its bias by K^(-1/2).
 *
 * A window (Beltagy et al. 2020, arXiv 2004.05150) is a W below S; with W = S a token sees everything before it. With a cap
 * above 0 each score s becomes cap tanh(s / cap) before the softmax (Gemma 2, arXiv 2408.00118); a cap of 0 or less is none.
 *
 * In grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245) several heads read one key head, which has a key and a
 * value of each position: head h reads key head g of G. That is key_heads[h]; without a list g = floor(h G / H), so that
 * neighbours share one. Where G = H each head has its own, and key[h, s] above is meant; else it is key[g, s].
 *
 * Padding never reaches this op: sequences come unpadded (see engine/batch.ts), so a row sees real tokens only.
 * The cache is head-major, [G, C, K], so that one head at a long context is one sequential stream.
 */
import { dot, tanh } from './float32.ts'
import { exponentials } from './softmax.ts'

const { fround, max } = Math

/** The longest context a strict kernel takes; OPT's is 2,048. */
export const MAX_CONTEXT = 32_768

/** The longest sequence whose gradients a strict kernel takes. */
export const MAX_GRADIENT_CONTEXT = 8192

/** The key head, below G, that head h of H reads. @param key_heads [H], or null where neighbours share one */
export function keyHeadOf(key_heads: Int32Array | null, h: number, G: number, H: number): number {
  return key_heads ? key_heads[h] : Math.floor((h * G) / H)
}

/** Each score s becomes cap tanh(s / cap), in place; a cap of 0 or less is none. */
export function capScores(scores: Float32Array, first: number, end: number, cap: number): void {
  if (!(cap > 0)) return
  for (let s = first; s < end; s++) scores[s] = fround(cap) * tanh(fround(scores[s] / fround(cap)))
}

/** The attention weights of one query: softmax over the visible positions, first..end-1. */
function attend(
  weights: Float32Array, // [end], written from `first` on
  scaled: Float32Array, // [K]
  key: Float32Array,
  keyStart: number,
  cap: number,
  first: number,
  end: number,
): void {
  const K = scaled.length
  for (let s = first; s < end; s++) weights[s] = dot(scaled, 0, key, keyStart + s * K, K)
  capScores(weights, first, end, cap)
  const { total } = exponentials(weights, first, weights, first, end - first)
  for (let s = first; s < end; s++) weights[s] /= total
}

/** A query [K] times the scale. */
function scaledRow(query: Float32Array, start: number, scale: number, K: number): Float32Array {
  return query.slice(start, start + K).map((x) => x * fround(scale))
}

/** Context vectors softmax(q kᵀ) v of chosen heads. */
export function attention(
  y: Float32Array, // [T, H, K]
  query: Float32Array, // [T, H, K]
  key: Float32Array, // [G, C, K]
  value: Float32Array, // [G, C, K]
  heads: Int32Array | null, // [R], ascending, below H
  key_heads: Int32Array | null, // [H], below G
  scale: number,
  cap: number,
  T: number,
  S: number,
  W: number,
  C: number,
  H: number,
  G: number,
  K: number,
  R: number,
): void {
  const count = heads ? R : H
  const weights = new Float32Array(S)
  y.fill(0, 0, T * H * K)
  for (let r = 0; r < count; r++) {
    const h = heads ? heads[r] : r
    const start = keyHeadOf(key_heads, h, G, H) * C * K
    for (let t = 0; t < T; t++) {
      const end = S - T + t + 1
      const first = max(0, end - W)
      const row = (t * H + h) * K
      attend(weights, scaledRow(query, row, scale, K), key, start, cap, first, end)
      for (let s = first; s < end; s++)
        for (let k = 0; k < K; k++) y[row + k] += fround(weights[s] * value[start + s * K + k])
    }
  }
}

/**
 * Gradients of dense attention over a whole sequence (T new tokens, nothing before them).
 *
 * With w the weights of token t, recomputed as in the forward pass, over the positions that it sees:
 *   w_grad[s] = <y_grad[t], value[s]>;   score_grad = w (w_grad - <w, w_grad>)
 *   value_grad[s] += w[s] y_grad[t];     query_grad[t] = scale * sum over s of score_grad[s] key[s];
 *   key_grad[s] += score_grad[s] * (query[t] * scale)
 * Under a cap, score_grad is multiplied by 1 - u^2, u = tanh(score / cap) of the score before the cap.
 * Inner products are striped; sums over s and t sequential. A key head adds up what its heads give it in their order.
 */
export function attention_backward(
  query_grad: Float32Array, // [T, H, K]
  key_grad: Float32Array, // [T, G, K]
  value_grad: Float32Array, // [T, G, K]
  y_grad: Float32Array, // [T, H, K]
  query: Float32Array, // [T, H, K]
  key: Float32Array, // [G, C, K]
  value: Float32Array, // [G, C, K]
  scale: number,
  cap: number,
  T: number,
  W: number,
  C: number,
  H: number,
  G: number,
  K: number,
): void {
  const weights = new Float32Array(T)
  const scoreGrad = new Float32Array(T)
  query_grad.fill(0, 0, T * H * K)
  for (const grad of [key_grad, value_grad]) grad.fill(0, 0, T * G * K)
  for (let h = 0; h < H; h++) {
    const g = keyHeadOf(null, h, G, H)
    for (let t = 0; t < T; t++) {
      const end = t + 1
      const first = max(0, end - W)
      const row = (t * H + h) * K
      const scaled = scaledRow(query, row, scale, K)
      attend(weights, scaled, key, g * C * K, cap, first, end)
      for (let s = first; s < end; s++) scoreGrad[s] = dot(y_grad, row, value, (g * C + s) * K, K)
      const mean = dot(weights, first, scoreGrad, first, end - first)
      for (let s = first; s < end; s++) {
        scoreGrad[s] = weights[s] * fround(scoreGrad[s] - mean)
        if (cap > 0) scoreGrad[s] *= capSlope(dot(scaled, 0, key, (g * C + s) * K, K), cap)
      }
      for (let s = first; s < end; s++)
        for (let k = 0; k < K; k++) {
          const past = (s * G + g) * K + k
          query_grad[row + k] += fround(scoreGrad[s] * key[(g * C + s) * K + k])
          value_grad[past] += fround(weights[s] * y_grad[row + k])
          key_grad[past] += fround(scoreGrad[s] * scaled[k])
        }
      for (let k = 0; k < K; k++) query_grad[row + k] *= fround(scale)
    }
  }
}

/** What a capped score gains with the score: 1 - tanh(score / cap)^2. */
function capSlope(score: number, cap: number): number {
  const u = tanh(fround(score / fround(cap)))
  return fround(1 - fround(u * u))
}
