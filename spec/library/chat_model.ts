/**
 * A small random model that chats: four layers, the tokenizer of SmolLM2's kind, and a template in ChatML.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
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
  /** The tokenizer, of 700 tokens. */
  readonly tokenizer?: 'smollm' | 'qwen2'
  /** Tokens that it has besides. */
  readonly added?: readonly string[]
  /** Two tokens that change places in the model. */
  readonly swap?: readonly [number, number]
  /** What `generation_config.json` says; none leaves the file out. */
  readonly generation?: object
}

/** Writes the model into a folder. */
export async function writeChatModel(
  folder: string,
  { template = chatMl, seed = 3, tokenizer = 'smollm', added = [], swap, generation }: ChatModelOptions = {},
): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const vocabulary = 700 + added.length
  const config = makeConfig({ layers: 4, width: 16, heads: 4, neurons: 32, vocabulary, positions: 400 })
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({
      model_type: 'opt',
      vocab_size: vocabulary,
      hidden_size: 16,
      num_hidden_layers: 4,
      num_attention_heads: 4,
      ffn_dim: 32,
      max_position_embeddings: 400,
      eos_token_id: 0,
      bos_token_id: 1,
    }),
  )
  const json = JSON.parse(readFileSync(join(tokenizers, `${tokenizer}.tokenizer.json`), 'utf8')) as {
    added_tokens: object[]
  }
  // As Qwen3 has its marks of thinking.
  added.forEach((content, i) => json.added_tokens.push({ id: 700 + i, content, special: false }))
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json))
  writeFileSync(
    join(folder, 'tokenizer_config.json'),
    JSON.stringify({
      eos_token: { content: '<|im_end|>' },
      bos_token: '<|im_start|>',
      ...(template !== null && { chat_template: template }),
    }),
  )
  if (generation) writeFileSync(join(folder, 'generation_config.json'), JSON.stringify(generation))
  const weights = initialWeights(config, { seed, deviation: 0.3, biasDeviation: 0.1 })
  const table = weights.get('model.decoder.embed_tokens.weight')?.values as Float32Array
  if (swap) {
    const [a, b] = swap.map((id) => table.slice(id * config.width, (id + 1) * config.width))
    table.set(a, swap[1] * config.width)
    table.set(b, swap[0] * config.width)
  }
  const tensors = [...weights].map(
    ([name, { shape, values }]) => [name, { dtype: 'F32', shape, data: values as Float32Array }] as const,
  )
  await writeSafetensors(join(folder, 'model.safetensors'), new Map(tensors))
}
