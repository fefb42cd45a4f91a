/**
 * A text of SmolLM2 on WebGPU: greedy tokens and their logits are those of WASM, bit for bit. As a program it writes one in Deno.
 */
import { createBackend } from '../../../src/backends/select.ts'
import { parseConfig } from '../../../src/engine/config.ts'
import { LanguageModel } from '../../../src/engine/language_model.ts'
import type { Storage } from '../../../src/engine/storages/index.ts'
import { openModelFolder } from '../../../src/io/load.ts'

/**
 * Writes so many tokens after a prompt of six.
 * @param path of the model
 * @throws Error if a logit differs, or the adapter is not exact
 */
export async function writesAsWasm(path: string, storage: Storage, count: number): Promise<void> {
  const models: LanguageModel[] = []
  for (const name of ['wasm', 'webgpu'] as const) {
    const folder = await openModelFolder(path)
    const backend = await createBackend(name)
    const config = parseConfig(folder.configJson)
    models.push(await LanguageModel.load(config, folder.source, backend, { storage }))
    await folder.source.close()
  }
  const [, { backend }] = models
  if (backend.name !== 'webgpu') throw new Error(`expected exact kernels, got ${backend.name}`)
  const sequences = models.map((model) => model.begin())
  const bits = (logits: Float32Array): Int32Array =>
    new Int32Array(logits.buffer, logits.byteOffset, logits.length)
  let tokens = Int32Array.of(1, 504, 3575, 282, 4649, 314)
  for (let n = 0; n < count; n++) {
    const [expected, actual] = sequences.map((sequence) => sequence.feed(tokens))
    const bitsOfExpected = bits(expected)
    const wrong = bits(actual).findIndex((one, i) => one !== bitsOfExpected[i])
    if (wrong >= 0)
      throw new Error(`token ${n}, logit ${wrong}: expected ${expected[wrong]}, got ${actual[wrong]}`)
    tokens = Int32Array.of(expected.indexOf(expected.reduce((most, one) => Math.max(most, one))))
  }
  for (const sequence of sequences) sequence.dispose()
  for (const model of models) {
    model.dispose()
    model.backend.dispose()
  }
}

const { Deno: deno } = globalThis as { Deno?: { readonly args: readonly string[] } }
if (deno !== undefined) {
  const [path, storage, count] = deno.args
  await writesAsWasm(path, storage as Storage, Number(count))
  console.log(`${count} tokens`)
}
