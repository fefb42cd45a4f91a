/**
 * The golden model as a model of the hub, and a home whose cache is empty.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { byteCharacters, specialTokens } from '../../src/io/vocabulary.ts'
import { fixtures } from '../golden/golden.ts'
import { MockHub } from '../io/mock_hub.ts'

export const golden = join(fixtures, 'golden/preln')
export const commit = 'a'.repeat(40)

/** A tokenizer of one token per byte; the printable ones come first, as the model has no more than 99. */
export const vocabulary = [
  ...specialTokens,
  ...byteCharacters.filter((_, byte) => byte >= 0x20 && byte < 0x7f),
  ...byteCharacters.filter((_, byte) => byte < 0x20 || byte >= 0x7f),
]

/** The golden model as facebook/opt-* are: a `.bin` and a pair of tokenizer files, among others. */
export const repository = new Map([
  ['README.md', Buffer.from('# A tiny model')],
  ['config.json', readFileSync(join(golden, 'config.json'))],
  ['flax_model.msgpack', Buffer.alloc(2000)],
  ['generation_config.json', Buffer.from('{}')],
  ['merges.txt', Buffer.from('#version: 0.2\n')],
  ['pytorch_model.bin', readFileSync(join(golden, 'pytorch_model.bin'))],
  ['vocab.json', Buffer.from(JSON.stringify(Object.fromEntries(vocabulary.map((token, id) => [token, id]))))],
])

/** A hub that has the model. Stop it. */
export async function startHub(): Promise<MockHub> {
  const hub = await MockHub.start()
  for (const [name, content] of repository) hub.files.set(name, content)
  return hub
}

/** A new cache, and the environment that points to it and to a hub. */
export function surroundings(endpoint: string): { cache: string; env: Record<string, string> } {
  const home = mkdtempSync(join(tmpdir(), 'shadowllm-home-'))
  onTestFinished(() => rmSync(home, { recursive: true }))
  const env = {
    HF_ENDPOINT: endpoint,
    HF_HOME: home,
    HF_TOKEN: 'hf_secret',
    HF_HUB_OFFLINE: '',
    HF_HUB_CACHE: '',
  }
  return { cache: join(home, 'hub'), env }
}
