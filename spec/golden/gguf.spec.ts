/**
 * The golden models as llama.cpp stores them: greedy text, dense and sparse, is that of the goldens, which llama.cpp gives
 * for these files too. Files of fewer bits have other weights; spec/io/gguf.spec.ts holds them to a step of theirs.
 */
import { describe, expect, test } from 'vitest'
import { ggufModel } from '../../bench/peers/gguf_model.ts'
import { makeMask } from '../../src/masks/mask.ts'
import { parseConfig } from '../../src/engine/config.ts'
import { generateTokens } from '../../src/engine/generate.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { bytesAsFile } from '../../src/io/files.ts'
import { readGguf } from '../../src/io/gguf_model.ts'
import { openModelFolder, type ModelFolder } from '../../src/io/load.ts'
import { overBackends } from '../harness/backends.ts'
import {
  expectNear,
  get,
  ggufOf,
  getFloats,
  getIds,
  llamaVariants,
  readCase,
  tolerance,
  type LlamaVariant,
} from './golden.ts'
import { goldenConfig, goldenSource } from './model.ts'

// A GGUF file does not say what the activation function is, nor which layers of Qwen2 or of a Gemma 3 of another pattern slide.
const inGguf = llamaVariants.filter(
  (variant) => !['llama_relu', 'qwen2_window', 'gemma3_linear'].includes(variant),
)
const files = [...inGguf.map((variant) => [variant, 'F32'] as const), ['llama_gqa', 'F16'] as const]

/** A variant from its file. llama.cpp has no window for Mistral, so that file is made here. */
async function open(
  variant: LlamaVariant,
  type: string,
): Promise<Pick<ModelFolder, 'configJson' | 'source'>> {
  if (variant !== 'mistral_window') return openModelFolder(ggufOf(variant, type))
  const { layerWindow, ...config } = goldenConfig(variant)
  const entries = new Map([['llama.attention.sliding_window', { u32: layerWindow?.[0] as number }]])
  const chunks: Uint8Array<ArrayBuffer>[] = []
  for await (const chunk of ggufModel(config, goldenSource(variant), 'F32', entries)) chunks.push(chunk)
  return readGguf(bytesAsFile(new Uint8Array(await new Blob(chunks).arrayBuffer())), 'mistral_window')
}

overBackends((backend) => {
  describe.each(files)('%s in %s', (variant, type) => {
    test.each(['dense', 'sparse'] as const)('greedy, %s: sixteen tokens exact, logits near', async (kind) => {
      const { configJson, source } = await open(variant, type)
      const model = await LanguageModel.load(parseConfig(configJson), source, backend)
      try {
        const tensors = readCase(variant, 'greedy')
        const mask =
          kind === 'sparse'
            ? makeMask(model.shape, getFloats(tensors, 'head_mask'), getFloats(tensors, 'ffn_mask'))
            : null
        const V = model.config.vocabulary
        const text: number[] = []
        const steps = generateTokens(model, getIds(tensors, 'prompt'), { mask, maxTokens: 16, stopIds: [] })
        for await (const { token, index, logits } of steps) {
          text.push(token)
          const expected = get(tensors, `${kind}.logits`).values.subarray(index * V, (index + 1) * V)
          if (type === 'F32') expectNear(logits, expected, tolerance.logits, `logits of step ${index}`)
        }
        expect(text).toEqual(Array.from(get(tensors, `${kind}.tokens`).values.slice(-16)))
      } finally {
        model.dispose()
        await source.close()
      }
    })
  })
})
