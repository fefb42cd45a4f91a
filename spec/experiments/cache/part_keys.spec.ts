/**
 * The names that parts of experiments are kept under: whatever changes the numbers of a part changes its name, and nothing
 * else does.
 *
 * Tests src/experiments/cache/measure.ts and src/evaluation/settings.ts.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBackend } from '../../../src/backends/select.ts'
import { randomPredictor } from '../../../src/bench/predictors.ts'
import { comparisonMethod } from '../../../src/experiments/methods.ts'
import { denseMethod, type Method, type PredictorSettings } from '../../../src/results/method.ts'
import { batchWindows, describeBatch } from '../../../src/experiments/cache/measure.ts'
import { ExperimentCache, type CacheOptions } from '../../../src/experiments/cache/experiment_cache.ts'
import { partKey, PartStore, type PartDescription } from '../../../src/results/part_store.ts'
import { settingsBySize } from '../../../src/evaluation/settings.ts'
import type { LanguageModel } from '../../../src/engine/language_model.ts'
import { encodeLetters, loadSmallModel } from '../../evaluation/small_model.ts'
import { temporaryFolder } from '../../harness/temporary_folder.ts'

const folder = temporaryFolder()
const file = (name: string): string => join(folder, name)
let model: LanguageModel
/** Another seed than 1 that draws the same windows to calibrate on: what else it decides must be in the names. */
let twin = 1
beforeAll(async () => {
  for (const name of ['model', 'other']) writeFileSync(file(name), name)
  model = await loadSmallModel(await createBackend('reference'))
  const cache = await openCache()
  const drawn = (seed: number): string => JSON.stringify(cache.windows('calibrate', 1, seed))
  do twin++
  while (drawn(twin) !== drawn(1))
})
afterAll(() => model.dispose())

// Two windows to calibrate on, in the first document, and two to evaluate on, in the fifth.
const document = (name: string, letters: string) => ({
  name,
  genre: 'prose',
  text: letters.split('').join(' '),
})
const documents = [
  document('one', 'abcdefghijklmnopqrstuvwxyz'),
  document('two', 'a'),
  document('three', 'b'),
  document('four', 'c'),
  document('five', 'zyxwvutsrqponmlkjihgfedcba'),
]

const method = comparisonMethod(
  settingsBySize.quick,
  { criterion: 'plainact', scope: 'global' },
  'shadow',
  0.5,
)
const learnt: Method = {
  ...method,
  examples: { count: 1, shots: null },
  aggregation: 'mean',
  every: 4,
  denseLayers: 1,
}

const openCache = (options: Partial<CacheOptions> = {}): Promise<ExperimentCache> =>
  ExperimentCache.open({
    model,
    modelName: 'small',
    modelFiles: [file('model')],
    encode: encodeLetters,
    prefixIds: [2],
    store: new PartStore(folder),
    documents,
    prompt: 8,
    continuation: 4,
    ...options,
  })

/** What parts are made from. */
interface Inputs {
  readonly options: Partial<CacheOptions>
  readonly method: Method
  readonly seed: number
}
const base: Inputs = { options: {}, method: learnt, seed: 1 }

type Part = 'scores' | 'predictor' | 'calibration'
const all: readonly Part[] = ['scores', 'predictor', 'calibration']

/** The names of the parts that these inputs lead to. Nothing is computed: a store that is asked for a part refuses. */
async function keysOf({ options, method: asked, seed }: Inputs): Promise<Record<Part, string>> {
  const refusal = new Error('not kept')
  const told: PartDescription[] = []
  const refuse = async (description: PartDescription): Promise<never> => {
    told.push(description)
    throw refusal
  }
  const store = { json: refuse, files: refuse, folder: refuse } as unknown as PartStore
  const cache = await openCache({ store, ...options })
  const [batch] = batchWindows(cache.windows('evaluate', 2, 0), 2, 0)
  const scores = await partKey(await describeBatch(cache, batch, asked, seed))
  if (!asked.examples) return { scores, predictor: '', calibration: '' }
  await expect(cache.predictor(asked, seed)).rejects.toBe(refusal)
  const sequence = asked.predictor?.pooling === 'attention'
  await expect(cache.examples(asked.examples, seed, [asked.criterion], sequence)).rejects.toBe(refusal)
  const [predictor, calibration] = await Promise.all(told.map(partKey))
  return { scores, predictor, calibration }
}

const methodWith = (change: Partial<Method>): Inputs => ({ ...base, method: { ...learnt, ...change } })
const predictorWith = (change: Partial<PredictorSettings>): Inputs =>
  methodWith({ predictor: { ...(learnt.predictor as PredictorSettings), ...change } })
const trainedWith = (change: Partial<PredictorSettings['training']>): Inputs =>
  predictorWith({ training: { ...(learnt.predictor as PredictorSettings).training, ...change } })
const cacheWith = (options: () => Partial<CacheOptions>) => (): Inputs => ({ ...base, options: options() })
/** The model, with another property. */
const modelWith = (name: 'backend' | 'config', change: object): Partial<CacheOptions> => ({
  model: Object.create(model, { [name]: { value: { ...model[name], ...change } } }) as LanguageModel,
})

/** One change each, and the parts that have other numbers by it. */
const changes: readonly [what: string, inputs: () => Inputs, parts: readonly Part[]][] = [
  ['the seed', () => ({ ...base, seed: twin }), all],
  ['the files of the model', cacheWith(() => ({ modelFiles: [file('other')] })), all],
  ['the bits of the backend', cacheWith(() => modelWith('backend', { name: 'wasm-relaxed' })), all],
  ['the first token', cacheWith(() => ({ prefixIds: [5] })), all],
  ['no first token', cacheWith(() => ({ prefixIds: [] })), all],
  ['the text to calibrate on', cacheWith(() => ({ documents: [documents[4], ...documents.slice(1)] })), all],
  ['the prompt', cacheWith(() => ({ prompt: 9 })), all],
  ['the continuation', cacheWith(() => ({ continuation: 5 })), all],
  ['the criterion', () => methodWith({ criterion: 'l2norm' }), all],
  ['the number of examples', () => methodWith({ examples: { count: 2, shots: null } }), all],
  ['whole prompts', () => predictorWith({ pooling: 'attention' }), all],
  ['the kind of predictor', () => methodWith({ planner: 'dejavu-style' }), ['scores', 'predictor']],
  [
    'a pruned model',
    () => methodWith({ examples: { count: 1, shots: null, pruned: 0.5 } }),
    ['scores', 'predictor'],
  ],
  ...(
    [
      predictorWith({ headHidden: 3 }),
      predictorWith({ neuronHidden: 3 }),
      predictorWith({ features: 'min_max' }),
      predictorWith({ targets: 'per_layer' }),
      predictorWith({ sourceLayer: 1 }),
      predictorWith({ pooling: 'mean' }),
      predictorWith({ loss: 'bce' }),
      predictorWith({ top: [0.1] }),
      trainedWith({ epochs: 3 }),
      trainedWith({ batch: 3 }),
      trainedWith({ rate: 0.3 }),
      trainedWith({ decay: 0.3 }),
      trainedWith({ heldOut: 0.3 }),
      trainedWith({ patience: 3 }),
    ] as const
  ).map((inputs, i): [string, () => Inputs, readonly Part[]] => [
    `setting ${i} of the predictor`,
    () => inputs,
    ['scores', 'predictor'],
  ]),
  ['the sparsity', () => methodWith({ sparsity: 0.6 }), ['scores']],
  ['the scope', () => methodWith({ scope: 'per-layer' }), ['scores']],
  ['the aggregation', () => methodWith({ aggregation: 'rank' }), ['scores']],
  ['how often is asked', () => methodWith({ every: 5 }), ['scores']],
  ['samples', () => methodWith({ samples: 2 }), ['scores']],
  ['halves', () => methodWith({ halves: true }), ['scores']],
  ['a leak', () => methodWith({ leaky: true }), ['scores']],
  ['a dense prompt', () => methodWith({ prefill: 'dense' }), ['scores']],
  ['layers that run whole', () => methodWith({ denseLayers: 2 }), ['scores']],
  [
    'the text that is scored',
    cacheWith(() => ({ evaluated: [document('six', 'qwertzuiopasdfghjklyxcvbnm')] })),
    ['scores'],
  ],
]

describe('a part', () => {
  test('has a key that depends on its inputs only', async () => {
    const keys = await keysOf(base)
    expect(await keysOf(base)).toEqual(keys)
    for (const part of all) expect(keys[part]).toMatch(/^[0-9a-f]{64}$/)
  })

  test.each(changes)(
    'has another name by another value of %s, and only if it has other numbers by it',
    async (_, inputs, parts) => {
      const [before, after] = [await keysOf(base), await keysOf(inputs())]
      expect(all.filter((part) => after[part] !== before[part])).toEqual(parts)
    },
  )

  test('has another key for each of these changes', async () => {
    const keys = await Promise.all(
      [() => base, ...changes.map(([, inputs]) => inputs)].map((inputs) => keysOf(inputs())),
    )
    const scores = keys.map((one) => one.scores)
    expect(new Set(scores).size).toBe(scores.length)
  })

  test('of scores depends on a seed only if something is drawn or learnt', async () => {
    const scores = async (asked: Method, seed: number): Promise<string> =>
      (await keysOf({ ...base, method: asked, seed })).scores
    const oracle: Method = { ...denseMethod, planner: 'oracle', criterion: 'plainact', sparsity: 0.5 }
    for (const asked of [denseMethod, oracle]) expect(await scores(asked, 1)).toBe(await scores(asked, 2))
  })
})

test('scores of a given predictor depend on its numbers, and compared scores are other parts', async () => {
  const given: Method = { ...denseMethod, planner: 'shadow', criterion: 'plainact', sparsity: 0.5 }
  const predictors = [1, 2].map((seed) => randomPredictor('shadow', model.config, model.backend, 'f32', seed))
  const keys: string[] = []
  for (const own of [[], ...predictors.map((one) => [one])]) {
    const cache = await openCache({ predictors: own })
    const [batch] = batchWindows(cache.windows('evaluate', 2, 0), 2, 0)
    for (const compared of [false, true])
      keys.push(await partKey(await describeBatch(cache, batch, given, 0, compared)))
  }
  expect(new Set(keys).size).toBe(6)
  const [one] = predictors
  const inputs = async (method: Method): Promise<unknown> =>
    (await openCache({ predictors })).inputs(method, 0)
  expect(await inputs({ ...given, planner: 'dense' })).toEqual({})
  expect(await inputs(given)).toEqual({ predictor: predictors[1] })
  expect(one).not.toBe(predictors[1])
  for (const predictor of predictors) predictor.dispose()
})

test('examples are named by the text they are of, whatever the text that is scored is called', async () => {
  const evaluated = [document('six', 'qwertzuiopasdfghjklyxcvbnm')]
  for (const dataName of ['final.raw; calibration: learn.raw', 'final.raw; calibration: novels.txt']) {
    const cache = await openCache({ evaluated, dataName })
    await cache.examples({ count: 1, shots: null }, 1, ['plainact'])
    expect(readCalibrations()).toEqual(['documents'])
    expect((await cache.provenance(1)).data.name).toBe(dataName)
  }
})

/** The names of the texts of all calibrations in the store. */
const readCalibrations = (): string[] =>
  globSync(join(folder, '*', 'calibration.json')).map(
    (path) => (JSON.parse(readFileSync(path, 'utf8')) as { data: { name: string } }).data.name,
  )

test('scores under random masks depend on the seeds of their windows, other scores do not', async () => {
  const cache = await openCache()
  const windows = cache.windows('evaluate', 2, 0)
  const [[one], [two]] = [1, 2].map((seed) => batchWindows(windows, 2, seed))
  const key = async (batch: typeof one, asked: Method): Promise<string> =>
    partKey(await describeBatch(cache, batch, asked, 0))
  const random: Method = { ...denseMethod, planner: 'random', sparsity: 0.5 }
  expect(await key(one, random)).not.toBe(await key(two, random))
  expect(await key(one, learnt)).toBe(await key(two, learnt))
  const shorter = { windows: one.windows.slice(1), seeds: one.seeds }
  expect(await key(shorter, learnt)).not.toBe(await key(one, learnt))
})
