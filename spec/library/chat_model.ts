/**
 * A small random model that chats: an OPT of four layers if nothing else is asked, the tokenizer of SmolLM2's kind, and a template in
 * ChatML.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeSafetensors } from '../../src/io/safetensors_writer.ts'
import { parseConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { tokenTableOf } from '../../src/verify/model/modules.ts'

const tokenizers = fileURLToPath(new URL('../../fixtures/tokenizers/', import.meta.url))

/** A template in ChatML, with a system message of its own where a chat has none. */
export const chatMl = `{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
Be kind.<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + message['role'] + '
' + message['content'] + eos_token + '
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}`

/** The configuration but for its vocabulary, where no other is given. */
const smallOpt = {
  model_type: 'opt',
  hidden_size: 16,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  ffn_dim: 32,
  eos_token_id: 0,
  bos_token_id: 1,
}

/** What of a model is written in another way. */
export interface ChatModelOptions {
  /** Null leaves the template out. */
  readonly template?: string | null
  /** What `config.json` says, but for vocabulary and positions. */
  readonly config?: object
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
export async function writeChatModel(folder: string, options: ChatModelOptions = {}): Promise<void> {
  const { template = chatMl, seed = 3, tokenizer = 'smollm', added = [], swap, generation } = options
  mkdirSync(folder, { recursive: true })
  const vocabulary = 700 + added.length
  const sizes = { vocab_size: vocabulary, max_position_embeddings: 400 }
  const configJson = { ...(options.config ?? smallOpt), ...sizes }
  const config = parseConfig(configJson)
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configJson))
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
  const table = weights.get(tokenTableOf(config))?.values as Float32Array
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
