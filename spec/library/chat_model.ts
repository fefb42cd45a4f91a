/**
 * A small random model that chats: four layers, the tokenizer of SmolLM2's kind, and a template in ChatML.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeSafetensors } from '../../src/io/safetensors_writer.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'

const tokenizers = fileURLToPath(new URL('../../fixtures/tokenizers/', import.meta.url))

/** A template in ChatML, with a system message of its own where a chat has none. */
export const chatMl = `{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
Be kind.<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + message['role'] + '
' + message['content'] + eos_token + '
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}`

/** What of a model is written in another way. */
export interface ChatModelOptions {
  /** Null leaves the template out. */
  readonly template?: string | null
  readonly seed?: number
}

/** Writes the model into a folder. */
export async function writeChatModel(
  folder: string,
  { template = chatMl, seed = 3 }: ChatModelOptions = {},
): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const config = makeConfig({ layers: 4, width: 16, heads: 4, neurons: 32, vocabulary: 700, positions: 400 })
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({
      model_type: 'opt',
      vocab_size: 700,
      hidden_size: 16,
      num_hidden_layers: 4,
      num_attention_heads: 4,
      ffn_dim: 32,
      max_position_embeddings: 400,
      eos_token_id: 0,
      bos_token_id: 1,
    }),
  )
  copyFileSync(join(tokenizers, 'smollm.tokenizer.json'), join(folder, 'tokenizer.json'))
  writeFileSync(
    join(folder, 'tokenizer_config.json'),
    JSON.stringify({
      eos_token: { content: '<|im_end|>' },
      bos_token: '<|im_start|>',
      ...(template !== null && { chat_template: template }),
    }),
  )
  const weights = initialWeights(config, { seed, deviation: 0.3, biasDeviation: 0.1 })
  const tensors = [...weights].map(
    ([name, { shape, values }]) => [name, { dtype: 'F32', shape, data: values as Float32Array }] as const,
  )
  await writeSafetensors(join(folder, 'model.safetensors'), new Map(tensors))
}
