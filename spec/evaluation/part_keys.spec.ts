/**
 * The names that parts of experiments are kept under: whatever changes the numbers of a part changes its name, and nothing
 * else does.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { makeArm } from '../../src/evaluation/methods.ts'
import { denseArm, type Arm, type PredictorSettings } from '../../src/evaluation/cache/method.ts'
import { describeBlock, makeBlocks } from '../../src/evaluation/cache/window_batch.ts'
import { Lab, type LabOptions } from '../../src/evaluation/cache/experiment_cache.ts'
import { partKey, type PartDescription, type PartStore } from '../../src/results/part_store.ts'
import { quickSettings } from '../../src/evaluation/settings.ts'
import type { OptModel } from '../../src/engine/opt_model.ts'
import { encodeLetters, loadSmallModel } from './small_model.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-part-keys-'))
const file = (name: string): string => join(folder, name)
let model: OptModel
/** Another seed than 1 that draws the same windows to calibrate on: what else it decides must be in the names. */
let twin = 1
beforeAll(async () => {
  for (const name of ['model', 'other']) writeFileSync(file(name), name)
  model = await loadSmallModel(await createBackend('reference'))
  const lab = await openLab()
  const drawn = (seed: number): string => JSON.stringify(lab.windows('calibrate', 1, seed))
  do twin++
  while (drawn(twin) !== drawn(1))
})
afterAll(() => {
  model.dispose()
  rmSync(folder, { recursive: true })
})

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

const arm = makeArm(
  quickSettings,
  { criterion: 'plainact', baselineCriterion: 'l2norm', scope: 'global' },
  'shadow',
  0.5,
)
const learnt: Arm = {
  ...arm,
  examples: { count: 1, shots: null },
  aggregation: 'mean',
  every: 4,
  denseLayers: 1,
}

const openLab = (options: Partial<LabOptions> = {}): Promise<Lab> =>
  Lab.open({
    model,
    modelName: 'small',
    modelFiles: [file('model')],
    encode: encodeLetters,
    documents,
    prompt: 8,
    continuation: 4,
    ...options,
  })

/** What parts are made from. */
interface Inputs {
  readonly options: Partial<LabOptions>
  readonly arm: Arm
  readonly seed: number
}
const base: Inputs = { options: {}, arm: learnt, seed: 1 }

type Part = 'scores' | 'predictor' | 'calibration'
const all: readonly Part[] = ['scores', 'predictor', 'calibration']

/** The names of the parts that these inputs lead to. Nothing is computed: a store that is asked for a part refuses. */
async function keysOf({ options, arm: asked, seed }: Inputs): Promise<Record<Part, string>> {
  const refusal = new Error('not kept')
  const told: PartDescription[] = []
  const refuse = async (description: PartDescription): Promise<never> => {
    told.push(description)
    throw refusal
  }
  const store = { json: refuse, files: refuse, folder: refuse } as unknown as PartStore
  const lab = await openLab({ store, ...options })
  const [block] = makeBlocks(lab.windows('evaluate', 2, 0), 2, 0)
  const scores = await partKey(await describeBlock(lab, block, asked, seed))
  if (!asked.examples) return { scores, predictor: '', calibration: '' }
  await expect(lab.predictor(asked, seed)).rejects.toBe(refusal)
  const sequence = asked.predictor?.pooling === 'attention'
  await expect(lab.examples(asked.examples, seed, [asked.criterion], sequence)).rejects.toBe(refusal)
  const [predictor, calibration] = await Promise.all(told.map(partKey))
  return { scores, predictor, calibration }
}

const armWith = (change: Partial<Arm>): Inputs => ({ ...base, arm: { ...learnt, ...change } })
const predictorWith = (change: Partial<PredictorSettings>): Inputs =>
  armWith({ predictor: { ...(learnt.predictor as PredictorSettings), ...change } })
const trainedWith = (change: Partial<PredictorSettings['training']>): Inputs =>
  predictorWith({ training: { ...(learnt.predictor as PredictorSettings).training, ...change } })
const labWith = (options: () => Partial<LabOptions>) => (): Inputs => ({ ...base, options: options() })
/** The model, with another property. */
const modelWith = (name: 'backend' | 'config', change: object): Partial<LabOptions> => ({
  model: Object.create(model, { [name]: { value: { ...model[name], ...change } } }) as OptModel,
})

/** One change each, and the parts that have other numbers by it. */
const changes: readonly [what: string, inputs: () => Inputs, parts: readonly Part[]][] = [
  ['the seed', () => ({ ...base, seed: twin }), all],
  ['the files of the model', labWith(() => ({ modelFiles: [file('other')] })), all],
  ['the bits of the backend', labWith(() => modelWith('backend', { name: 'wasm-relaxed' })), all],
  ['the first token', labWith(() => modelWith('config', { bosId: 5 })), all],
  ['the text to calibrate on', labWith(() => ({ documents: [documents[4], ...documents.slice(1)] })), all],
  ['the prompt', labWith(() => ({ prompt: 9 })), all],
  ['the continuation', labWith(() => ({ continuation: 5 })), all],
  ['the criterion', () => armWith({ criterion: 'l2norm' }), all],
  ['the number of examples', () => armWith({ examples: { count: 2, shots: null } }), all],
  ['whole prompts', () => predictorWith({ pooling: 'attention' }), all],
  ['the kind of predictor', () => armWith({ planner: 'dejavu-style' }), ['scores', 'predictor']],
  [
    'a pruned model',
    () => armWith({ examples: { count: 1, shots: null, pruned: 0.5 } }),
    ['scores', 'predictor'],
  ],
  ...(
    [
      predictorWith({ headHidden: 3 }),
      predictorWith({ neuronHidden: 3 }),
      predictorWith({ features: 'min_max' }),
      predictorWith({ targets: 'per_layer' }),
      predictorWith({ placement: 1 }),
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
  ['the sparsity', () => armWith({ sparsity: 0.6 }), ['scores']],
  ['the scope', () => armWith({ scope: 'per-layer' }), ['scores']],
  ['the aggregation', () => armWith({ aggregation: 'rank' }), ['scores']],
  ['how often is asked', () => armWith({ every: 5 }), ['scores']],
  ['samples', () => armWith({ samples: 2 }), ['scores']],
  ['a leak', () => armWith({ leaky: true }), ['scores']],
  ['layers that run whole', () => armWith({ denseLayers: 2 }), ['scores']],
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
    const scores = async (asked: Arm, seed: number): Promise<string> =>
      (await keysOf({ ...base, arm: asked, seed })).scores
    const oracle: Arm = { ...denseArm, planner: 'oracle', criterion: 'plainact', sparsity: 0.5 }
    for (const asked of [denseArm, oracle]) expect(await scores(asked, 1)).toBe(await scores(asked, 2))
  })
})

test('scores under random masks depend on the seeds of their windows, other scores do not', async () => {
  const lab = await openLab()
  const windows = lab.windows('evaluate', 2, 0)
  const [[one], [two]] = [1, 2].map((seed) => makeBlocks(windows, 2, seed))
  const key = async (block: typeof one, asked: Arm): Promise<string> =>
    partKey(await describeBlock(lab, block, asked, 0))
  const random: Arm = { ...denseArm, planner: 'random', sparsity: 0.5 }
  expect(await key(one, random)).not.toBe(await key(two, random))
  expect(await key(one, learnt)).toBe(await key(two, learnt))
  const shorter = { windows: one.windows.slice(1), seeds: one.seeds }
  expect(await key(shorter, learnt)).not.toBe(await key(one, learnt))
})
