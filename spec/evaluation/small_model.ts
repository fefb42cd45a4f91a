/**
 * A small random model for laws of measuring: letters are tokens, and everything fits into a second.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Backend, BackendName } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import type { Document } from '../../src/data/corpus.ts'
import type { Asked, Request } from '../../src/data/tasks/prompts.ts'
import type { TaskRun } from '../../src/evaluation/tasks/asking.ts'
import { makeMask, type UnitMask, type UnitShape } from '../../src/masks/mask.ts'
import { makeConfig, type ModelConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { Random } from '../../src/tensor/random.ts'
import { compareMethods, type Method } from '../../src/results/method.ts'
import { PartStore } from '../../src/results/part_store.ts'
import type { MeasuredModel } from '../../src/results/provenance.ts'

export const smallConfig: ModelConfig = makeConfig({
  layers: 3,
  width: 16,
  heads: 4,
  neurons: 24,
  vocabulary: 40,
  positions: 32,
})

/** The model, or another random one, on a backend; dispose it. */
export function loadSmallModel(backend: Backend, config = smallConfig, seed = 3): Promise<LanguageModel> {
  const weights = initialWeights(config, { seed, deviation: 0.3, biasDeviation: 0.1 })
  return LanguageModel.load(config, memorySource(weights), backend)
}

/** A loaded model, as measurements take it. */
export interface SmallSource extends MeasuredModel {
  readonly encode: typeof encodeLetters
}

/**
 * Loads the model, or another random one, before the tests of a file, with a file in place of its weights. After them no
 * buffer may be left.
 * @returns a folder that is removed after the tests, empty stores in it, and what is there once `beforeAll` has run
 */
export function useSmallModel(
  name: BackendName,
  ...which: [config?: ModelConfig, seed?: number]
): { readonly folder: string; newStore(): PartStore; source(): SmallSource } {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-small-'))
  const modelFile = join(folder, 'model')
  let model: LanguageModel
  beforeAll(async () => {
    writeFileSync(modelFile, 'weights')
    model = await loadSmallModel(await createBackend(name), ...which)
  })
  afterAll(() => {
    model.dispose()
    expect(model.backend.liveBuffers).toBe(0)
    rmSync(folder, { recursive: true })
  })
  const source = (): SmallSource => ({
    model,
    modelName: 'small',
    modelFiles: [modelFile],
    encode: encodeLetters,
    prefixIds: [model.config.bosId],
  })
  const newStore = (): PartStore => new PartStore(mkdtempSync(join(folder, 'store-')))
  return { folder, newStore, source }
}

/** Dense and two planners that need nothing. */
export function someMethods(model: LanguageModel): Method[] {
  const planners = ['random', 'griffin'] as const
  return compareMethods(model, { planners, sparsities: [0.5], scope: 'global', criterion: 'none' })
}

/** A task of two questions and one of three. */
export function someTasks(): TaskRun[] {
  return [2, 3].map((count, i) => ({
    name: `task ${i}`,
    version: 1,
    metrics: ['acc'],
    shots: 0,
    original: count,
    asked: Array.from({ length: count }, (_, n) => question(10 * i + n)),
    leftOut: [],
    config: {},
  }))
}

/** Documents of forty random words, prose and verse in turn. */
export function somePages(count: number, letters = 'abcdefgh'): Document[] {
  return Array.from({ length: count }, (_, i) => {
    const random = new Random(i)
    const words = Array.from({ length: 40 }, () => letters.slice(0, 1 + random.below(letters.length)))
    return { name: `page ${i}`, genre: i % 2 ? 'verse' : 'prose', text: words.join(' ') }
  })
}

/** A mask that keeps each unit with a probability of 0.6. */
export function someMask(shape: UnitShape, seed: number): UnitMask {
  const random = new Random(seed)
  const draw = (units: number): Float32Array =>
    Float32Array.from({ length: shape.layers * units }, () => (random.uniform() < 0.6 ? 1 : 0))
  return makeMask(shape, draw(shape.heads), draw(shape.neurons))
}

/** A letter is a token; none is special. */
export const encodeLetters = (text: string): number[] =>
  [...text].map((letter) => 3 + (letter.charCodeAt(0) % 37))

/** A question of random tokens: two contexts if the answers stand inside of them. */
export function question(seed: number, contexts: 1 | 3 = 1): Asked {
  const random = new Random(seed)
  const draw = (length: number): number[] => Array.from({ length }, () => 5 + random.below(30))
  const shared = draw(8)
  const requests = [4, 1, 6].map((length): Request => {
    const context = contexts === 1 ? shared : draw(8)
    return { tokens: Int32Array.of(...context, ...draw(length)), promptLength: 8 }
  })
  const alone = requests.map(({ tokens }) => ({
    tokens: Int32Array.of(2, ...tokens.subarray(8)),
    promptLength: 1,
  }))
  return { place: `question ${seed}`, genre: 'test', requests, alone, lengths: [4, 1, 6], gold: seed % 3 }
}

/** Such questions, with answers alone or without. */
export const someAsked = fc
  .tuple(fc.nat(99), fc.constantFrom<1 | 3>(1, 3), fc.boolean())
  .map(([seed, contexts, alone]): Asked => {
    const asked = question(seed, contexts)
    return alone ? asked : { ...asked, alone: undefined }
  })
