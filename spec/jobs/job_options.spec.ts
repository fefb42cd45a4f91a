/**
 * Every option of the work that jobs do (calibration, questions, windows) has an effect, and the same one in this thread
 * and in jobs. The types require a row for every option.
 *
 * Tests src/evaluation/jobs/, src/evaluation/tasks/asking.ts and src/calibration/collect.ts.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { randomPredictor } from '../../src/bench/predictors.ts'
import { calibrateToFolder, type CalibrateOptions } from '../../src/calibration/collect.ts'
import { evaluate } from '../../src/evaluation/evaluate.ts'
import {
  compareMethods,
  inputsFrom,
  makeMethod,
  type CompareOptions,
  type Method,
  type MethodSources,
} from '../../src/results/method.ts'
import { methodHash } from '../../src/results/method_hash.ts'
import { makeDoJob } from '../../src/evaluation/jobs/do_job.ts'
import { evaluateJobs } from '../../src/evaluation/jobs/evaluate_job.ts'
import type { JobModel } from '../../src/jobs/job_model.ts'
import { askTasks, type AskedTasks, type TaskRun } from '../../src/evaluation/tasks/asking.ts'
import type { JobRunner } from '../../src/jobs/runner.ts'
import { inlineRunner } from './inline_runner.ts'
import { makeMask } from '../../src/masks/mask.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { plannerNames } from '../../src/library/index.ts'
import { predictorKinds } from '../../src/predictor/predictor_config.ts'
import type { Predictor } from '../../src/predictor/predictor_file.ts'
import { Random } from '../../src/tensor/random.ts'
import { root, tinyFolder } from '../cli/run_cli.ts'
import { filesOf, makeWindows, smallOptions } from '../calibration/small_calibration.ts'
import { loadSmallModel, question, smallConfig, someMask } from '../evaluation/small_model.ts'
import { goldenConfig, goldenSource } from '../golden/model.ts'
import { compensations } from '../../src/masks/compensation.ts'
import { randomMoments } from '../compensation/random_moments.ts'
import { randomScores } from '../../src/criteria/random.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

/** Changes of options, each with another result; or why an option changes no result. */
type Rows<Options> = Readonly<Record<keyof Required<Options>, readonly Partial<Options>[] | string>>

const folder = temporaryFolder()
let model: JobModel
let predictors: Predictor[]
let others: Predictor[]
beforeAll(async () => {
  const backend = await createBackend('wasm')
  const small = await loadSmallModel(backend)
  model = { model: small, hash: '0'.repeat(64), method: await methodHash() }
  const draw = (seed: number): Predictor[] =>
    predictorKinds.map((kind) => randomPredictor(kind, smallConfig, backend, 'f32', seed))
  predictors = draw(1)
  others = draw(2)
})
afterAll(() => {
  for (const predictor of [...predictors, ...others]) predictor.dispose()
  model.model.dispose()
})

/** Expects each change to give another result, and the same one here and in jobs. */
async function holdsInBoth<Options>(
  rows: readonly Partial<Options>[],
  here: (options: Partial<Options>) => Promise<string>,
  inJobs: (options: Partial<Options>) => Promise<string>,
): Promise<void> {
  const found = new Set<string>()
  for (const row of rows) {
    const result = await here(row)
    expect(found.has(result), 'the result of an earlier row').toBe(false)
    found.add(result)
    expect((await inJobs(row)) === result, 'jobs give the same result').toBe(true)
  }
}

function stateRows<Options>(
  about: string,
  rows: () => Rows<Options>,
  names: readonly (keyof Rows<Options> & string)[],
  here: (options: Partial<Options>) => Promise<string>,
  inJobs: (options: Partial<Options>) => Promise<string>,
): void {
  test.each(names)(`${about}: %s has an effect, the same here and in jobs`, async (name) => {
    const own = rows()[name]
    if (typeof own !== 'string') await holdsInBoth(own, here, inJobs)
  })
}

/** A runner in this thread with two examples in each job, so that a job has more than one. */
const fewRunner = (): JobRunner => ({ ...inlineRunner(makeDoJob(model)), examplesPerJob: 2 })

const apart = 'decides where the work is done or what is reported, and changes no byte'

const calibrateRows = (): Rows<CalibrateOptions> => ({
  model: 'what is calibrated; jobs refuse another',
  modelHash: 'jobs refuse another',
  folder: apart,
  threads: apart,
  runner: apart,
  onPlan: apart,
  source: [{}, { source: { name: 'pages', windows: makeWindows(11, 2) } }],
  examples: [{}, { examples: 9 }, { examples: 10 }],
  criteria: [{}, { criteria: ['l2norm'] }, { criteria: ['plainact-signed', 'plainact'] }],
  seed: [undefined, 1, 2 ** 32 - 1].map((seed) => ({ criteria: ['random'], seed })),
  mask: [{}, ...[1, 2].map((seed) => ({ mask: someMask(model.model.shape, seed) }))],
  keepSequence: [{}, { keepSequence: true }],
  moments: [{}, { moments: true }],
  shardExamples: [{}, { shardExamples: 3 }, { shardExamples: 10 }],
})

let calibrations = 0
/** More than the eight that are timed, which this thread always computes. */
const windows = makeWindows(11)
async function calibrate(options: Partial<CalibrateOptions>): Promise<string> {
  const place = join(folder, `${calibrations++}`)
  await calibrateToFolder(smallOptions(model.model, place, windows, { modelHash: model.hash, ...options }))
  return JSON.stringify(filesOf(place))
}

describe('a calibration', () => {
  const names = [
    'source',
    'examples',
    'criteria',
    'seed',
    'mask',
    'keepSequence',
    'moments',
    'shardExamples',
  ] as const
  stateRows('calibration', calibrateRows, names, calibrate, (options) =>
    calibrate({ ...options, runner: fewRunner() }),
  )

  test('no option is left out', () => {
    const stated = Object.entries(calibrateRows()).filter(([, rows]) => typeof rows !== 'string')
    expect(stated.map(([name]) => name).toSorted()).toEqual([...names].toSorted())
  })

  test('in threads has the bytes of one in this thread, with every option at once', async () => {
    const golden = await LanguageModel.load(
      goldenConfig('preln'),
      goldenSource('preln'),
      await createBackend('wasm'),
    )
    const { shape } = golden
    const draw = (units: number): Float32Array =>
      Float32Array.from({ length: shape.layers * units }, (_, i) => (i % 3 === 0 ? 0 : 1))
    const options: Partial<CalibrateOptions> = {
      model: golden,
      criteria: ['random', 'l2norm'],
      seed: 5,
      keepSequence: true,
      shardExamples: 4,
      mask: makeMask(shape, draw(shape.heads), draw(shape.neurons)),
    }
    const threads = { path: join(root, tinyFolder), backend: 'wasm', count: 2 } as const
    expect(await calibrate({ ...options, threads })).toBe(await calibrate(options))
    golden.dispose()
  })
})

const tasks: readonly TaskRun[] = [
  [1, 2, 3].map((seed) => question(seed)),
  [4, 5].map((seed) => question(seed, 3)),
].map((asked, i) => ({
  name: `${i}`,
  version: 1,
  metrics: ['acc'],
  shots: 0,
  original: 9,
  asked,
  leftOut: [],
  config: {},
}))

const sourcesOf = (some: readonly Predictor[], seed: number): MethodSources => ({
  mean: randomScores(model.model.shape, new Random(seed)),
  predictors: some,
  moments: randomMoments(model.model, seed),
})

/** What is compared, and the options of asking. */
type Asking = Partial<CompareOptions> & Pick<AskedTasks, 'mode' | 'seed' | 'tasks'>

function askedOf({ mode, seed = 0, tasks: own = tasks, ...options }: Partial<Asking>): AskedTasks {
  const { sources = sourcesOf(predictors, 8) } = options
  const methods = compareMethods(model.model, {
    planners: ['random'],
    sparsities: [0.5],
    scope: 'global',
    criterion: 'plainact',
    sources,
    ...options,
  })
  return { model: model.model, tasks: own, methods, sources, mode, seed }
}

async function answersOf(answers: AsyncIterable<unknown>): Promise<string> {
  const all: unknown[] = []
  for await (const answer of answers) all.push(answer)
  return JSON.stringify(all)
}

const listener = { tell: () => {} }
const askInThis = (options: Partial<Asking>): Promise<string> =>
  answersOf(askTasks(askedOf(options), listener))
const askInJobs = (options: Partial<Asking>): Promise<string> =>
  answersOf(askTasks(askedOf(options), listener, { runner: fewRunner(), hash: model.hash }))

const askRows = (): Rows<Asking> => ({
  planners: [
    {},
    { planners: ['static'] },
    { planners: ['oracle'] },
    { planners: ['prompt-plainact'] },
    { planners: ['griffin'] },
    { planners: ['coreinfer'] },
    { planners: ['glass'] },
    { planners: ['griffin-static'] },
    { planners: ['cats'] },
    { planners: ['teal'] },
    { planners: ['wina'] },
    { planners: ['prompt-static'] },
    { planners: ['shadow'] },
    { planners: ['dejavu-style'] },
    { planners: ['dejavu'] },
    { planners: ['random', 'static'] },
    { planners: ['static', 'random'] },
  ],
  sparsities: [{}, { sparsities: [0.3] }, { sparsities: [1] }, { sparsities: [0.3, 0.5] }],
  headSparsity: [{}, { headSparsity: 0 }],
  neuronSparsity: [{}, { neuronSparsity: 0 }],
  scope: [{ planners: ['static'] }, { planners: ['static'], scope: 'per-layer' }],
  learnt: [
    { planners: ['shadow'] },
    { planners: ['shadow'], learnt: { scope: 'per-layer', prefill: 'dense', headSparsity: 0 } },
  ],
  criterion: (['oracle', 'prompt-plainact'] as const).flatMap((planner) =>
    ['plainact', 'l2norm'].map((criterion) => ({ planners: [planner], criterion })),
  ),
  every: [undefined, 1, 2].map((every) => (every === undefined ? {} : { every })),
  prefill: [undefined, 'dense' as const].map((prefill) => ({ prefill })),
  leaky: [undefined, true].map((leaky) => ({ planners: ['prompt-plainact'], leaky })),
  paperCompatible: [undefined, true].map((paperCompatible) => ({ sparsities: [0.7], paperCompatible })),
  compensate: compensations.map((compensate) => ({ compensate })),
  ridge: [undefined, 1].map((ridge) => ({ compensate: 'least-squares' as const, ridge })),
  promptShare: [0.1, 0.5].map((promptShare) => ({ compensate: 'least-squares' as const, promptShare })),
  sources: (['static', 'shadow', 'dejavu', 'dejavu-style'] as const).flatMap((planner) => [
    { planners: [planner] },
    { planners: [planner], sources: sourcesOf(others, 9) },
  ]),
  mode: 'no answer depends on it: a test of the options of sequences states it',
  seed: [
    ...[0, 1, 2 ** 32 - 1].map((seed) => ({ seed })),
    // Other seeds than above, because this criterion gives the scores of a random planner.
    ...[5, 6].map((seed) => ({ planners: ['oracle'] as const, criterion: 'random', seed })),
  ],
  tasks: [{}, { tasks: tasks.toReversed() }],
})

describe('questions', () => {
  const names = [
    'planners',
    'sparsities',
    'headSparsity',
    'neuronSparsity',
    'scope',
    'criterion',
    'every',
    'prefill',
    'leaky',
    'learnt',
    'paperCompatible',
    'compensate',
    'ridge',
    'promptShare',
    'sources',
    'seed',
    'tasks',
  ] as (keyof Asking)[]
  stateRows('questions', askRows, names, askInThis, askInJobs)

  test('no option is left out', () => {
    const stated = Object.entries(askRows()).filter(([, rows]) => typeof rows !== 'string')
    expect(stated.map(([name]) => name).toSorted()).toEqual([...names].toSorted())
  })

  test.each(['auto', 'skip', 'pack', 'simulate'] as const)(
    'mode %s reaches the sequences, here and in jobs',
    async (mode) => {
      const spy = vi.spyOn(LanguageModel.prototype, 'begin')
      try {
        for (const ask of [askInThis, askInJobs]) {
          spy.mockClear()
          await ask({ mode, tasks: [{ ...tasks[0], asked: [{ ...question(1), alone: undefined }] }] })
          expect(new Set(spy.mock.calls.map(([options]) => options?.mode))).toEqual(new Set([mode]))
        }
      } finally {
        spy.mockRestore()
      }
    },
  )
})

const baseMethod = makeMethod({ planner: 'random', sparsity: 0.5 })
const texts = makeWindows(3).map((window, i) => {
  const tokens = Int32Array.of(...window.tokens, 3, 4, 5, 6, 7, 8, 9, 10)
  return { windows: [{ ...window, tokens }], seed: 10 + i }
})

const methodOf = (options: Partial<Method>): Method =>
  makeMethod({ ...baseMethod, every: undefined, ...options })

async function scoreHere(options: Partial<Method>): Promise<string> {
  const inputsOf = inputsFrom(sourcesOf(predictors, 8))
  return answersOf(evaluate(model.model, [methodOf(options)], texts, { inputsOf }))
}

async function scoreInJobs(options: Partial<Method>): Promise<string> {
  const inputsOf = inputsFrom(sourcesOf(predictors, 8))
  const jobs = [{ methods: [methodOf(options)], texts }]
  const rows: unknown[] = []
  const place = { runner: fewRunner(), model }
  for await (const row of evaluateJobs(model.model, jobs, { inputsOf }, place)) rows.push(row)
  return JSON.stringify(rows)
}

const methodRows = (): Rows<Method> => ({
  planner: plannerNames.map((planner) => ({ planner, criterion: 'plainact' })),
  criterion: (['oracle', 'prompt-plainact', 'prompt-static'] as const).flatMap((planner) =>
    ['plainact', 'l2norm'].map((criterion) => ({ planner, criterion })),
  ),
  sparsity: [0, 0.3, 1].map((sparsity) => ({ sparsity })),
  scope: (['global', 'per-layer'] as const).map((scope) => ({ planner: 'static', scope })),
  every: [undefined, 1, 2].map((every) => (every === undefined ? {} : { every })),
  prefill: [undefined, 'dense' as const].map((prefill) => ({ prefill })),
  samples: [undefined, 1, 2].map((samples) => ({ planner: 'oracle', criterion: 'plainact', samples })),
  halves: [undefined, true].map((halves) => ({ planner: 'oracle', criterion: 'plainact', halves })),
  leaky: [undefined, true].map((leaky) => ({ planner: 'prompt-plainact', criterion: 'plainact', leaky })),
  headSparsity: [undefined, 0.9].map((headSparsity) => ({ headSparsity })),
  neuronSparsity: [undefined, 0.9].map((neuronSparsity) => ({ neuronSparsity })),
  paperCompatible: [undefined, true].map((paperCompatible) => ({ sparsity: 0.7, paperCompatible })),
  denseLayers: [undefined, 2].map((denseLayers) => ({ denseLayers })),
  compensate: compensations.map((compensate) => ({ compensate })),
  ridge: [undefined, 1].map((ridge) => ({ compensate: 'least-squares' as const, ridge })),
  promptShare: [0.1, 0.5].map((promptShare) => ({ compensate: 'least-squares' as const, promptShare })),
  aggregation: 'is in the mean scores that the method is given',
  examples: 'are in what the method is given',
  predictor: 'is what the method is given',
})

describe('windows', () => {
  const names = [
    'planner',
    'criterion',
    'sparsity',
    'scope',
    'every',
    'prefill',
    'samples',
    'halves',
    'leaky',
    'headSparsity',
    'neuronSparsity',
    'paperCompatible',
    'denseLayers',
    'compensate',
    'ridge',
    'promptShare',
  ] as const
  stateRows('windows', methodRows, names, scoreHere, scoreInJobs)

  test('no option is left out', () => {
    const stated = Object.entries(methodRows()).filter(([, rows]) => typeof rows !== 'string')
    expect(stated.map(([name]) => name).toSorted()).toEqual([...names].toSorted())
  })
})
