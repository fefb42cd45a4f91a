/**
 * Families that differ from Llama (llama.ts) in their layers alone. Each is its layer.
 *
 *   Qwen3      (Yang et al. 2025, arXiv 2505.09388): queries and keys of each head are normed before they are rotated, all heads of a
 *              layer by one weight [K]
 */
import { headsOf, llama, neuronsOf, type Layer, type LlamaConfig } from './llama.ts'
import { add, rmsNorm } from './program.ts'
import type { Value } from './program.ts'

/** x = x + heads(norm(x)), with queries norm(q(n)) and keys norm(k(n)); x = x + neurons(norm(x)). */
const qwen3: Layer = (config, l, x) => {
  const { epsilon, headSize: K } = config
  const at = `model.layers.${l}`
  const n = rmsNorm(x, `${at}.input_layernorm`, epsilon)
  x = add(
    x,
    headsOf(config, l, n, (value, name) => rmsNorm(value, name, epsilon, K)),
  )
  return add(x, neuronsOf(config, l, rmsNorm(x, `${at}.post_attention_layernorm`, epsilon)))
}

const of =
  (layer: Layer) =>
  (config: LlamaConfig): Value =>
    llama(config, layer)

/** Logits [T, V] of a text, by the names of families. */
export const newerFamilies = { qwen3: of(qwen3) } as const
