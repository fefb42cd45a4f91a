/**
 * OPT (Zhang et al. 2022, arXiv 2205.01068).
 *
 *   x = [project_in] token[id] + position[t + 2]
 *   x = x + out(m_h ⊙ attention(q(n), k(n), v(n)))     n = norm(x)
 *   x = x + fc2(m_f ⊙ relu(fc1(n)))                    n = norm(x)
 *   logits = head([project_out] norm(x))
 *
 * m_h has one factor per head, m_f one per neuron. A head is K rows of query, key and value and K columns of out; a neuron is a
 * row of fc1 and a column of fc2. The first two rows of the position table are for padding. OPT-350m is post-norm: n = x, each
 * sum is normalised instead, and there is no last norm. It also has projections between the token table and its layers.
 *
 * The released code of ShadowLLM (abdelfattah-lab/shadow_llm at bdc5ad5, modeling_opt.py:365) never applies m_f: the product
 * goes into an attribute for inspection, and the dense activations go on. Its masks of heads are applied.
 */
import { add, attention, combine, embedding, layerNorm, linear, positions, relu, tap } from './program.ts'
import { tokens, units } from './program.ts'
import type { Value } from './program.ts'

/** The sizes and forms of an OPT. */
export interface OptConfig {
  readonly layers: number // L
  readonly heads: number // H
  readonly headSize: number // K; H K = D
  readonly width: number // D
  readonly neurons: number // F
  readonly vocabulary: number // V
  readonly positions: number
  readonly embeddingWidth: number // E, of the token table; D in most models
  readonly preNorm: boolean
  readonly finalNorm: boolean
  readonly tied: boolean // whether the head is the token table
}

/** Logits [T, V] of a text. */
export function opt(config: OptConfig): Value {
  const { layers: L, width: D, embeddingWidth: E, vocabulary: V, finalNorm, tied } = config
  const at = 'model.decoder'
  const token = embedding(tokens, `${at}.embed_tokens`, V, E)
  const position = embedding(positions(2), `${at}.embed_positions`, config.positions + 2, D)
  let x = add(E === D ? token : linear(token, `${at}.project_in`, D), position)
  for (let l = 0; l < L; l++) x = layer(config, l, tap(`stream ${l}`, x))
  x = tap(`stream ${L}`, x)
  if (finalNorm) x = layerNorm(x, `${at}.final_layer_norm`)
  if (E !== D) x = linear(x, `${at}.project_out`, E)
  return linear(x, tied ? `${at}.embed_tokens` : 'lm_head', V)
}

/** A layer: its heads, then its neurons, are added to the stream [T, D]. */
function layer(
  { heads: H, headSize: K, width: D, neurons: F, preNorm }: OptConfig,
  l: number,
  x: Value,
): Value {
  const at = `model.decoder.layers.${l}`
  const [first, second] = [`${at}.self_attn_layer_norm`, `${at}.final_layer_norm`]
  let n = preNorm ? layerNorm(x, first) : x
  const [q, k, v] = ['q', 'k', 'v'].map((name) => linear(n, `${at}.self_attn.${name}_proj`, D, true)) // [T, D]
  const context = attention(q, k, v, K) // [T, H K]
  x = add(x, combine(units('heads', l, context, H), `${at}.self_attn.out_proj`, D, true))
  if (!preNorm) x = layerNorm(x, first)
  n = preNorm ? layerNorm(x, second) : x
  const activation = relu(tap(`preActivation ${l}`, linear(n, `${at}.fc1`, F, true))) // [T, F]
  x = add(x, combine(units('neurons', l, activation, F), `${at}.fc2`, D, true))
  return preNorm ? x : layerNorm(x, second)
}
