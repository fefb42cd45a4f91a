/**
 * What a cache of int8 costs: on text the embedded model was not trained on, its logits are those over a cache of float32
 * but for a thousandth of a nat per token. `shadowllm perplexity --cache int8` measures how much exactly.
 */
import { expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { DenseLogits, readLogits } from '../../src/evaluation/score_window.ts'
import { pageWindows } from '../../src/data/windows.ts'
import { brownForEvaluation } from '../../src/data/texts.ts'
import { findModel } from '../../src/io/find_model.ts'
import { openModelFolder } from '../../src/io/load.ts'
import { parseConfig } from '../../src/engine/config.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { mutateKernel } from '../harness/mutate.ts'

/** The most a token may cost, in nats, as KL(f32 || int8); and the most its likelihood may change on average. */
const BOUND = 1e-3

/** Two windows of text are read over both caches. */
async function isWithinBound(backend: Backend): Promise<void> {
  const folder = await openModelFolder((await findModel('embedded')).path)
  const config = parseConfig(folder.configJson)
  const model = await LanguageModel.load(config, folder.source, backend)
  await folder.source.close()
  const [{ text }] = await brownForEvaluation()
  const ids = Int32Array.from(folder.tokenizer?.encode(text.slice(0, 2500), { prefix: false }) ?? [])
  const windows = pageWindows(ids, config.positions, config.bosId)
  expect(windows.length).toBeGreaterThan(1)
  for (const { tokens, from } of windows) {
    const window = { tokens, promptLength: from, words: 0 }
    const dense = new DenseLogits(readLogits(model, window), tokens, config.vocabulary)
    const { kl, nll } = dense.compare(readLogits(model, window, { cache: 'int8' }))
    const count = tokens.length - from
    expect(kl / count, 'KL per token').toBeLessThan(BOUND)
    expect(kl / count, 'KL per token: the caches are two').toBeGreaterThan(0)
    // The loss of a text moves by chance, up or down. A KL of k moves that of a token by √(2 k), to first order.
    const apart = Math.abs(nll - dense.scoreFrom(from).nll) / count
    expect(apart, 'nats per token').toBeLessThan(4 * Math.sqrt((2 * BOUND) / count))
  }
  model.dispose()
}

test('a cache of int8 costs less than a thousandth of a nat per token', async () => {
  const backend = await createBackend('wasm')
  await isWithinBound(backend)
  expect(backend.liveBuffers).toBe(0)
})

test('a mutant that keeps five bits of eight: killed', async () => {
  const right = await createBackend('wasm')
  const coarse = mutateKernel(right, 'cache_append_i8', (append) => (cache, ...rest) => {
    append(cache, ...rest)
    cache.forEach((value, i) => (cache[i] = value & ~7))
  })
  await expect(isWithinBound(coarse)).rejects.toThrow('per token')
})
