/**
 * Families that differ from Llama (llama.ts) in their layers alone. Each is its layer.
 *
 *   Qwen3      (Yang et al. 2025, arXiv 2505.09388): queries and keys of each head are normed before they are rotated, all heads of a
 *              layer by one weight [K]
 *   OLMo 2     (OLMo team 2024, arXiv 2501.00656): no norm before a half, but one on its result; queries and keys are normed over all
 *              heads, so that the rows of a skipped head's query and key are needed all the same
 */
import { headsOf, llama, neuronsOf, type Layer, type LlamaConfig } from './llama.ts'
import { add, rmsNorm } from './program.ts'
import type { Value } from './program.ts'

/** x = x + heads(norm(x)), with queries norm(q(n)) and keys norm(k(n)); x = x + neurons(norm(x)). */
const qwen3: Layer = (config, l, x) => {
  const { epsilon, headSize: K } = config
  const at = `model.layers.${l}`
  const n = rmsNorm(x, `${at}.input_layernorm`, epsilon)
  const norm = (value: Value, name: string): Value => rmsNorm(value, name, epsilon, K)
  x = add(x, headsOf(config, l, n, norm))
  return add(x, neuronsOf(config, l, rmsNorm(x, `${at}.post_attention_layernorm`, epsilon)))
}

/** x = x + norm(heads(x)), with queries norm(q(x)) and keys norm(k(x)); x = x + norm(neurons(x)). */
const olmo2: Layer = (config, l, x) => {
  const norm = (value: Value, name: string): Value => rmsNorm(value, name, config.epsilon)
  const at = `model.layers.${l}`
  x = add(x, norm(headsOf(config, l, x, norm), `${at}.post_attention_layernorm`))
  return add(x, norm(neuronsOf(config, l, x), `${at}.post_feedforward_layernorm`))
}

const of =
  (layer: Layer) =>
  (config: LlamaConfig): Value =>
    llama(config, layer)

/** Logits [T, V] of a text, by the names of families. */
export const newerFamilies = { qwen3: of(qwen3), olmo2: of(olmo2) } as const
