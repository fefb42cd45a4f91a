/**
 * The other thread of that page: writes a text of a model on WebGPU, and answers when its logits are those of WASM.
 */
import type { Storage } from '../../../src/engine/storages/index.ts'
import { listenAsThread, mountFolder, readFile } from '../../../src/platform/platform.ts'
import { writesAsWasm } from '../../backends/webgpu/written_as_wasm.ts'
import { wordsOf } from './words_of.ts'

/** The address of a GGUF file, how its weights are held, and how many tokens are written. */
export interface TextTask {
  readonly address: string
  readonly storage: Storage
  readonly tokens: number
}

/** What it says: how many tokens it wrote, or what ended it. */
export type TextAnswer = { tokens: number } | { error: string }

const answer = listenAsThread((task) => {
  const say = (words: TextAnswer): void => answer?.(words)
  write(task as TextTask).then(
    (tokens) => say({ tokens }),
    (error: unknown) => say({ error: wordsOf(error) }),
  )
})

async function write({ address, storage, tokens }: TextTask): Promise<number> {
  const folder = mountFolder('text', new Map([['model.gguf', readFile(new URL(address))]]))
  await writesAsWasm(`${folder}/model.gguf`, storage, tokens)
  return tokens
}
