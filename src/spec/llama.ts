/**
 * The Llama family (Touvron et al. 2023, arXiv 2302.13971 and 2307.09288).
 *
 *   x = token[id]
 *   x = x + out(m_h ⊙ attention(rotate(q(n)), rotate(k(n)), v(n)))     n = rmsNorm(x)
 *   x = x + down(m_f ⊙ silu(gate(n)) ⊙ up(n))                          n = rmsNorm(x)
 *   logits = head(rmsNorm(x))
 *
 * m_h has one factor per query head, m_f one per neuron. The heads of a group read one key head, which has a key and a value of
 * every token. A key head is no unit: it is needed while any head of its group is, and skipped with the last of them. A head
 * is K rows of query and K columns of out; a neuron is a row of gate, of up and a column of down. Nothing but query, key and
 * value has a bias, and these only in Qwen2; so a layer without units leaves the stream as it is.
 *
 * Positions are rotations of queries and keys. In a head of size K at position p, numbers i and i + K/2 are a pair, and
 *
 *   (y_i, y_{i+K/2}) = (x_i cos a − x_{i+K/2} sin a,  x_{i+K/2} cos a + x_i sin a)     a = p base^(−2i/K), for i < K/2
 *
 * (`src/ops/rotary.ts` has how Llama 3.1 stretches the angles for long texts).
 *
 * Unlike relu, silu is almost never zero: a neuron that is skipped would have added something. In models with `hidden_act:
 * relu` the gate is max(gate(n), 0), and most neurons are zero by themselves.
 */
import type { Activation } from '../ops/activations.ts'
import type { Rotary } from '../ops/rotary.ts'
import { add, attention, combine, embedding, gate, linear, rmsNorm, rotate } from './program.ts'
import { tap, tokens, units } from './program.ts'
import type { Value } from './program.ts'

/** The sizes and forms of a Llama. */
export interface LlamaConfig {
  readonly layers: number // L
  readonly heads: number // H
  readonly keyHeads: number // G
  readonly headSize: number // K
  readonly width: number // D
  readonly neurons: number // F
  readonly vocabulary: number // V
  readonly epsilon: number // of every norm
  readonly rotary: Rotary
  readonly biases: 'all' | 'query-key-value' | 'none'
  readonly activation: Activation
  readonly tied: boolean // whether the head is the token table
}

/** Logits [T, V] of a text. */
export function llama(config: LlamaConfig): Value {
  const { layers: L, width: D, vocabulary: V, epsilon, tied } = config
  let x = embedding(tokens, 'model.embed_tokens', V, D)
  for (let l = 0; l < L; l++) x = layer(config, l, tap(`stream ${l}`, x))
  x = tap(`stream ${L}`, x)
  return linear(rmsNorm(x, 'model.norm', epsilon), tied ? 'model.embed_tokens' : 'lm_head', V)
}

/** A layer: its heads, then its neurons, are added to the stream [T, D]. */
function layer(config: LlamaConfig, l: number, x: Value): Value {
  const {
    heads: H,
    keyHeads: G,
    headSize: K,
    width: D,
    neurons: F,
    epsilon,
    rotary,
    biases,
    activation,
  } = config
  const at = `model.layers.${l}`
  const project = (name: string, heads: number): Value =>
    linear(n, `${at}.self_attn.${name}_proj`, heads * K, biases !== 'none')
  let n = rmsNorm(x, `${at}.input_layernorm`, epsilon)
  const [q, k] = [rotate(project('q', H), rotary, K), rotate(project('k', G), rotary, K)] // [T, H K], [T, G K]
  const context = attention(q, k, project('v', G), K) // [T, H K]
  x = add(x, combine(units('heads', l, context, H), `${at}.self_attn.o_proj`, D))
  n = rmsNorm(x, `${at}.post_attention_layernorm`, epsilon)
  const g = tap(`preActivation ${l}`, linear(n, `${at}.mlp.gate_proj`, F)) // [T, F]
  const neurons = gate(activation, g, linear(n, `${at}.mlp.up_proj`, F)) // [T, F]
  return add(x, combine(units('neurons', l, neurons, F), `${at}.mlp.down_proj`, D))
}
