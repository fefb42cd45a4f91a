/**
 * Families that differ from Llama (llama.ts) in their layers alone. Each is its layer.
 *
 *   Qwen3      (Yang et al. 2025, arXiv 2505.09388): queries and keys of each head are normed before they are rotated, all heads of a
 *              layer by one weight [K]
 *   OLMo 2     (OLMo team 2024, arXiv 2501.00656): no norm before a half, but one on its result; queries and keys are normed over all
 *              heads, so that the rows of a skipped head's query and key are needed all the same
 *   Gemma 2    (Gemma team 2024, arXiv 2408.00118): norms on both sides of each half
 *   Gemma 3    (Gemma team 2025, arXiv 2503.19786): Gemma 2, with queries and keys normed as in Qwen3
 *
 * What else tells Gemma from Llama stands in its configuration: embeddings are multiplied by √D, norms by 1 + w, and some layers
 * see a window of the text.
 */
import { headsOf, llama, neuronsOf, normOf, type Layer, type LlamaConfig } from './llama.ts'
import { add } from './program.ts'
import type { Value } from './program.ts'

/** x = x + heads(norm(x)), with queries norm(q(n)) and keys norm(k(n)); x = x + neurons(norm(x)). */
const qwen3: Layer = (config, l, x) => {
  const norm = normOf(config)
  const at = `model.layers.${l}`
  x = add(x, headsOf(config, l, norm(x, `${at}.input_layernorm`), normOfHeads(config)))
  return add(x, neuronsOf(config, l, norm(x, `${at}.post_attention_layernorm`)))
}

/** The norm of each head by itself. */
const normOfHeads =
  (config: LlamaConfig) =>
  (x: Value, name: string): Value =>
    normOf(config)(x, name, config.headSize)

/** x = x + norm(heads(x)), with queries norm(q(x)) and keys norm(k(x)); x = x + norm(neurons(x)). */
const olmo2: Layer = (config, l, x) => {
  const norm = normOf(config)
  const at = `model.layers.${l}`
  x = add(x, norm(headsOf(config, l, x, norm), `${at}.post_attention_layernorm`))
  return add(x, norm(neuronsOf(config, l, x), `${at}.post_feedforward_layernorm`))
}

/** x = x + norm(heads(norm(x))); x = x + norm(neurons(norm(x))). @param norms of queries and keys, if they are normed */
const gemma =
  (norms?: (config: LlamaConfig) => (x: Value, name: string) => Value): Layer =>
  (config, l, x) => {
    const norm = normOf(config)
    const at = `model.layers.${l}`
    const heads = headsOf(config, l, norm(x, `${at}.input_layernorm`), norms?.(config))
    x = add(x, norm(heads, `${at}.post_attention_layernorm`))
    const neurons = neuronsOf(config, l, norm(x, `${at}.pre_feedforward_layernorm`))
    return add(x, norm(neurons, `${at}.post_feedforward_layernorm`))
  }

const of =
  (layer: Layer) =>
  (config: LlamaConfig): Value =>
    llama(config, layer)

/** Logits [T, V] of a text, by the names of families. */
export const newerFamilies = {
  qwen3: of(qwen3),
  olmo2: of(olmo2),
  gemma2: of(gemma()),
  gemma3: of(gemma(normOfHeads)),
} as const
