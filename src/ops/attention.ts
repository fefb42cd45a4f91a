/**
 * attention: causal self-attention of T new tokens over a cache of S tokens (the new ones included), for chosen heads.
 *
 * New token t stands at position p = S - T + t and sees positions 0..p:
 *   score[s]  = <query[t, h] * scale, key[h, s]>           striped dot over the head size, scale applied to the query
 *   weight    = softmax(score[0..p])                       float32, striped sum
 *   y[t, h]   = sum over s of weight[s] * value[h, s]      sequential in s, starting at +0
 * and +0 for heads that are not chosen; their keys and values are never read. OPT scales q after its bias by K^-1/2.
 *
 * In grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245) several heads read one key head, which has a key and a
 * value of each position: head h reads key head g of G. That is key_heads[h]; without a list g = floor(h G / H), so that
 * neighbours share one. Where G = H each head has its own, and key[h, s] above is meant; else it is key[g, s].
 *
 * Padding never reaches this op: sequences come unpadded (see engine/batch.ts), so a row sees real tokens only.
 * The cache is head-major, [G, C, K], so that one head at a long context is one sequential stream.
 */
import { attentionI8, type attention_i8 } from './attention_i8.ts'
import {
  chosen,
  defineOp,
  defineStoredOp,
  ids,
  input,
  output,
  scalar,
  size,
  sizeNeededBy,
  stored,
  type Op,
  type PlainOp,
  type Stored,
} from './op.ts'
import { attentionBackwardRelaxed, attentionFast, attentionRelaxed } from './attention_relaxed.ts'
import { dot } from './float32.ts'
import { keyHeadOf } from './key_heads.ts'
import { exponentials } from './softmax.ts'

const { fround } = Math

/** The longest context a strict kernel takes; OPT's is 2,048. */
export const MAX_CONTEXT = 8192

/** The attention weights of one query: softmax over positions 0..visible-1. */
function attend(
  weights: Float32Array, // [visible], written
  query: Float32Array,
  queryStart: number,
  key: Float32Array,
  keyStart: number,
  scale: number,
  visible: number,
  K: number,
): void {
  const scaled = new Float32Array(K)
  for (let k = 0; k < K; k++) scaled[k] = query[queryStart + k] * scale
  for (let s = 0; s < visible; s++) weights[s] = dot(scaled, 0, key, keyStart + s * K, K)
  const { total } = exponentials(weights, 0, weights, 0, visible)
  for (let s = 0; s < visible; s++) weights[s] /= total
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
  T: number,
  S: number,
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
      const visible = S - T + t + 1
      const row = (t * H + h) * K
      attend(weights, query, row, key, start, fround(scale), visible, K)
      for (let s = 0; s < visible; s++)
        for (let k = 0; k < K; k++) y[row + k] += fround(weights[s] * value[start + s * K + k])
    }
  }
}

/**
 * Gradients of dense attention over a whole sequence (T new tokens, nothing before them).
 *
 * With w the weights of token t, recomputed as in the forward pass:
 *   w_grad[s] = <y_grad[t], value[s]>;   score_grad = w (w_grad - <w, w_grad>)
 *   value_grad[s] += w[s] y_grad[t];     query_grad[t] = scale * sum over s of score_grad[s] key[s];
 *   key_grad[s] += score_grad[s] * (query[t] * scale)
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
  T: number,
  C: number,
  H: number,
  G: number,
  K: number,
): void {
  const weights = new Float32Array(T)
  const scoreGrad = new Float32Array(T)
  scale = fround(scale)
  query_grad.fill(0, 0, T * H * K)
  for (const grad of [key_grad, value_grad]) grad.fill(0, 0, T * G * K)
  for (let h = 0; h < H; h++) {
    const g = keyHeadOf(null, h, G, H)
    for (let t = 0; t < T; t++) {
      const visible = t + 1
      const row = (t * H + h) * K
      attend(weights, query, row, key, g * C * K, scale, visible, K)
      for (let s = 0; s < visible; s++) scoreGrad[s] = dot(y_grad, row, value, (g * C + s) * K, K)
      const mean = dot(weights, 0, scoreGrad, 0, visible)
      for (let s = 0; s < visible; s++) scoreGrad[s] = weights[s] * fround(scoreGrad[s] - mean)
      for (let s = 0; s < visible; s++)
        for (let k = 0; k < K; k++) {
          const past = (s * G + g) * K + k
          query_grad[row + k] += fround(scoreGrad[s] * key[(g * C + s) * K + k])
          value_grad[past] += fround(weights[s] * y_grad[row + k])
          key_grad[past] += fround(scoreGrad[s] * fround(query[row + k] * scale))
        }
      for (let k = 0; k < K; k++) query_grad[row + k] *= scale
    }
  }
}

/** Op definition. */
export const attentionOp: Op<
  [
    y: Float32Array,
    query: Float32Array,
    key: Stored,
    value: Stored,
    heads: Int32Array | null,
    key_heads: Int32Array | null,
    scale: number,
    S: number,
  ],
  { f32: typeof attention; i8: typeof attention_i8 }
> = defineStoredOp(
  'attention',
  [
    output('y', 'T H*K'),
    input('query', 'T H*K'),
    stored(input('key', 'G C K'), input('key_scales', 'G C')),
    stored(input('value', 'G C K'), input('value_scales', 'G C')),
    chosen('heads', 'R', 'H'),
    ids('key_heads', 'H', 'G', { optional: true }),
    scalar('scale', 0.05, 1),
    size('T'),
    size('S', 'T', MAX_CONTEXT),
    size('C', 'S'),
    size('H'),
    sizeNeededBy('G', 'H'),
    // H is a dimension of nothing but H*K and an optional list, so K is needed to know it.
    size('K', 1),
    size('R'),
  ],
  {
    f32: {
      formula:
        'y[t,h] = sum over s <= p of softmax(<query[t,h] scale, key[g,s]>) value[g,s] for chosen heads, else 0; g = key_heads[h], or floor(h G / H)',
      reference: attention,
      relaxed: attentionRelaxed,
      fast: attentionFast,
      flops: ({ T, S, R, K }) => T * (S - (T - 1) / 2) * R * (4 * K + 26),
      bytes: ({ T, S, H, G, K, R }) => 4 * (T * (H + R) * K + R + H + 2 * Math.min(R, G) * S * K),
    },
    i8: attentionI8,
  },
)

/** Op definition. */
export const attentionBackwardOp: PlainOp<typeof attention_backward, [scale: number]> = defineOp({
  name: 'attention_backward',
  formula: 'query_grad, key_grad, value_grad of dense attention over a whole sequence',
  params: [
    output('query_grad', 'T H*K'),
    output('key_grad', 'T G*K'),
    output('value_grad', 'T G*K'),
    input('y_grad', 'T H*K'),
    input('query', 'T H*K'),
    input('key', 'G C K'),
    input('value', 'G C K'),
    scalar('scale', 0.05, 1),
    size('T', 0, MAX_CONTEXT),
    size('C', 'T'),
    size('H'),
    sizeNeededBy('G', 'H'),
    size('K'),
  ],
  reference: attention_backward,
  relaxed: attentionBackwardRelaxed,
  flops: ({ T, H, K }) => ((T * (T + 1)) / 2) * H * (11 * K + 30),
  bytes: ({ T, H, G, K }) => 4 * T * (3 * H + 2 * G + 2 * Math.min(H, G)) * K,
})
