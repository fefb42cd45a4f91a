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
 *   y_i = x_i cos φ − x_{i+K/2} sin φ               for i < K/2
 *   y_{i+K/2} = x_{i+K/2} cos φ + x_i sin φ         φ = p base^(−2 i/K)
 *
 * (`src/ops/rotary.ts` has how Llama 3.1 stretches the angles for long texts). Some layers of SmolLM3 do not rotate, and Phi-3
 * rotates the first numbers of each head alone.
 *
 * Unlike relu, silu is almost never zero: a neuron that is skipped would have added something. In models with `hidden_act:
 * relu` the gate is max(gate(n), 0), and most neurons are zero by themselves.
 */
import type { Activation } from '../ops/activations.ts'
import type { Rotary } from '../ops/rotary.ts'
import { add, attention, cap, combine, embedding, gate, linear, rmsNorm, rotate, scale } from './program.ts'
import { tap, tokens, units } from './program.ts'
import type { AttentionForm, Value } from './program.ts'

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
  readonly layerRotary?: readonly (Rotary | null)[] // [L], where layers differ; null for one that does not rotate
  readonly layerWindow?: readonly (number | null)[] // [L], the positions that a token sees; null for all of them
  readonly scoreScale?: number // of every layer's attention, in place of K^(−1/2)
  readonly scoreCap?: number // of every layer's attention
  readonly biases: 'all' | 'query-key-value' | 'none'
  readonly activation: Activation
  readonly tied: boolean // whether the head is the token table
  readonly embeddingScale?: number // what rows of the token table are multiplied by, where they are
  readonly normOffset?: number // what is added to the weights of norms, if something is
  readonly logitCap?: number // of the head
}

/** The norm of a configuration. */
export function normOf({
  epsilon,
  normOffset,
}: LlamaConfig): (x: Value, name: string, size?: number) => Value {
  return (x, name, size) => rmsNorm(x, name, epsilon, size, normOffset)
}

/** What a layer of a family makes of the stream [T, D]. */
export type Layer = (config: LlamaConfig, l: number, x: Value) => Value

/** Logits [T, V] of a text. @param layer of another family that has these configurations and ends */
export function llama(config: LlamaConfig, layer: Layer = llamaLayer): Value {
  const { layers: L, width: D, vocabulary: V, embeddingScale, logitCap, tied } = config
  const rows = embedding(tokens, 'model.embed_tokens', V, D)
  let x = embeddingScale === undefined ? rows : scale(rows, embeddingScale)
  for (let l = 0; l < L; l++) x = layer(config, l, tap(`stream ${l}`, x))
  x = tap(`stream ${L}`, x)
  const logits = linear(normOf(config)(x, 'model.norm'), tied ? 'model.embed_tokens' : 'lm_head', V)
  return logitCap === undefined ? logits : cap(logits, logitCap)
}

/** A layer: its heads, then its neurons, are added to the stream [T, D]. */
function llamaLayer(config: LlamaConfig, l: number, x: Value): Value {
  const norm = normOf(config)
  x = add(x, headsOf(config, l, norm(x, `model.layers.${l}.input_layernorm`)))
  return add(x, neuronsOf(config, l, norm(x, `model.layers.${l}.post_attention_layernorm`)))
}

/** What the heads of a layer make of n: [T, D]. @param norm of queries and keys, before they are rotated */
export function headsOf(
  { heads: H, keyHeads: G, headSize: K, width: D, biases, ...config }: LlamaConfig,
  l: number,
  n: Value,
  norm: (x: Value, name: string) => Value = (x) => x,
): Value {
  const at = `model.layers.${l}.self_attn`
  const rotary = config.layerRotary ? config.layerRotary[l] : config.rotary
  const turned = (x: Value): Value => (rotary ? rotate(x, rotary, K) : x)
  const project = (name: string, heads: number): Value =>
    linear(n, `${at}.${name}_proj`, heads * K, biases !== 'none')
  const [q, k] = [norm(project('q', H), `${at}.q_norm`), norm(project('k', G), `${at}.k_norm`)]
  const context = attention(turned(q), turned(k), project('v', G), K, formOf(config, l)) // [T, H K]
  return combine(units('heads', l, context, H), `${at}.o_proj`, D)
}

/** How attention of a layer differs from the usual one. */
function formOf(
  config: Pick<LlamaConfig, 'layerWindow' | 'scoreScale' | 'scoreCap'>,
  l: number,
): AttentionForm {
  const window = config.layerWindow?.[l] ?? undefined
  return { window, scale: config.scoreScale, cap: config.scoreCap }
}

/** What the neurons of a layer make of n: [T, D]. */
export function neuronsOf({ width: D, neurons: F, activation }: LlamaConfig, l: number, n: Value): Value {
  const at = `model.layers.${l}.mlp`
  const g = tap(`preActivation ${l}`, linear(n, `${at}.gate_proj`, F)) // [T, F]
  const neurons = gate(activation, g, linear(n, `${at}.up_proj`, F)) // [T, F]
  return combine(units('neurons', l, neurons, F), `${at}.down_proj`, D)
}
