/**
 * What fewer bits cost: KL and perplexity against float32, as computed from the logits by another way.
 */
import { expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { measureStorages, storageTexts, type StorageError } from '../../src/evaluation/storage_error.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import type { Storage } from '../../src/engine/storages/index.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { feedOnce } from '../engine/cases.ts'
import { encodeLetters, smallConfig } from './small_model.ts'

const texts = [Int32Array.of(2, 5, 9, 30, 7, 7, 12), Int32Array.of(2, 20, 21, 22)]
const weights = initialWeights(smallConfig, { seed: 3, deviation: 0.3, biasDeviation: 0.1 })

async function open(storage: Storage): Promise<LanguageModel> {
  return LanguageModel.load(smallConfig, memorySource(weights), await createBackend('wasm'), { storage })
}

/** Natural logarithms of probabilities, a row for each position: float64. */
function logProbabilities(logits: Float32Array): number[][] {
  const V = smallConfig.vocabulary
  return Array.from({ length: logits.length / V }, (_, t) => {
    const row = [...logits.subarray(t * V, (t + 1) * V)]
    const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0))
    return row.map((value) => value - total)
  })
}

async function allLogProbabilities(storage: Storage): Promise<number[][][]> {
  const model = await open(storage)
  try {
    return texts.map((tokens) => logProbabilities(feedOnce(model, tokens, { cache: 'f32' })).slice(0, -1))
  } finally {
    model.backend.dispose()
  }
}

async function isWhatLogitsSay(errors: readonly StorageError[]): Promise<void> {
  const exact = (await allLogProbabilities('f32')).flat()
  const next = texts.flatMap((tokens) => [...tokens.subarray(1)])
  for (const { storage, tokens, kl, tokenPerplexity, agreed } of errors) {
    const own = (await allLogProbabilities(storage)).flat()
    const divergence = exact.map((p, t) =>
      p.reduce((sum, logP, v) => sum + Math.exp(logP) * (logP - own[t][v]), 0),
    )
    const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length
    expect(tokens).toBe(next.length)
    expect(Math.abs(kl - mean(divergence)), `KL of ${storage}`).toBeLessThan(1e-9 + 1e-4 * kl)
    const nll = mean(next.map((id, t) => -own[t][id]))
    const best = (row: readonly number[]): number => row.indexOf(Math.max(...row))
    expect(agreed, `agreement of ${storage}`).toBe(
      mean(exact.map((p, t) => Number(best(p) === best(own[t])))),
    )
    expect(tokenPerplexity / Math.exp(nll), `perplexity of ${storage}`).toBeCloseTo(1, 6)
  }
}

test('every storage is compared with float32, which comes first', async () => {
  const errors = await measureStorages(texts, ['int8', 'bf16'], open)
  expect(errors.map(({ storage }) => storage)).toEqual(['f32', 'int8', 'bf16'])
  expect(errors[0]).toMatchObject({ kl: 0, agreed: 1 })
  expect(errors[1].kl).toBeGreaterThan(0)
  expect(errors[1].bytes).toBeLessThan(errors[2].bytes)
  await isWhatLogitsSay(errors)
})

test('mutants that swap two storages, or forget a token: killed', async () => {
  const errors = await measureStorages(texts, ['int8', 'bf16'], open)
  const swapped = errors.map((error, i) => ({ ...error, storage: errors[(3 - i) % 3].storage }))
  await expect(isWhatLogitsSay(swapped)).rejects.toThrow('expected')
  await expect(isWhatLogitsSay(errors.map((error) => ({ ...error, kl: error.kl * 1.1 })))).rejects.toThrow(
    'KL',
  )
})

test('texts are spread over the documents, have one length, and begin with </s>', () => {
  const lengths = [100, 100, 31, 100, 30, 100, 100, 100, 100, 100, 100]
  const documents = lengths.map((length, i) => ({
    name: `d${i}`,
    genre: 'g',
    text: String.fromCharCode(97 + i).repeat(length),
  }))
  // Of eleven documents every second one, five at most; one that fills a text with its </s> is read, a shorter one is not.
  const read = (count: number): string[] =>
    storageTexts(documents, encodeLetters, [smallConfig.bosId], smallConfig.positions, count).map(String)
  const text = (document: number): string =>
    [smallConfig.bosId, ...encodeLetters(documents[document].text).slice(0, 31)].join()
  expect(read(5)).toEqual([0, 2, 6, 8, 10].map(text))
  expect(read(1)).toEqual([text(0)])
  expect(read(50)).toEqual([0, 1, 2, 3, 5, 6, 7, 8, 9, 10].map(text))
})
