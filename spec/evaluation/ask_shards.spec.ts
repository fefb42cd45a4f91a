/**
 * Choice tasks asked by shards: the report of one thread, whatever is compared and however the questions are cut; and
 * shards that nobody vouches for.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { criterionByName } from '../../src/criteria/index.ts'
import { randomPredictor } from '../../src/bench/predictors.ts'
import { Configurations, type ConfigurationSources } from '../../src/evaluation/configurations.ts'
import { methodHash } from '../../src/results/method_hash.ts'
import { askShards } from '../../src/evaluation/jobs/ask.ts'
import { makeDoShard } from '../../src/evaluation/jobs/do_shard.ts'
import { encodeAnswers } from '../../src/evaluation/jobs/questions.ts'
import { agreementOf, type ShardModel } from '../../src/jobs/shard_model.ts'
import {
  askHere,
  type AskedTasks,
  type TaskProgress,
  type TaskRun,
} from '../../src/evaluation/tasks/asking.ts'
import { askElsewhere } from '../../src/evaluation/tasks/distributed.ts'
import type { Asked } from '../../src/data/tasks/prompts.ts'
import { runTasks, type RunOptions, type TasksReport } from '../../src/evaluation/tasks/run.ts'
import type { Answer } from '../../src/evaluation/tasks/score.ts'
import { inlineRunner } from '../jobs/inline_runner.ts'
import { contextOf, type ShardRunner } from '../../src/jobs/runner.ts'
import type { DoShard, Shard } from '../../src/jobs/shard.ts'
import { memoryStore } from '../../src/jobs/shard_store.ts'
import { scopes, type Scope } from '../../src/masks/budget.ts'
import { maskModes, type MaskMode } from '../../src/engine/active_block.ts'
import { predictorKinds } from '../../src/predictor/predictor_config.ts'
import { plannerNames, randomScores, type PlannerName } from '../../src/predictor/planners.ts'
import { encodePredictor, type Predictor } from '../../src/predictor/predictor_file.ts'
import { predictorOf } from '../../src/predictor/suitable.ts'
import { Random } from '../../src/tensor/random.ts'
import { law } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'
import { loadSmallModel, question, smallConfig, someAsked } from './small_model.ts'

let backend: Backend
let model: ShardModel
let predictors: Predictor[]
let sources: ConfigurationSources

beforeAll(async () => {
  backend = await createBackend('wasm')
  const small = await loadSmallModel(backend)
  model = { model: small, hash: 'a'.repeat(64), method: await methodHash() }
  predictors = predictorKinds.map((kind) => randomPredictor(kind, smallConfig, backend, 'f32', 1))
  sources = {
    model: small,
    mean: randomScores(small.shape, new Random(8)),
    shadow: predictorOf('shadow', predictors),
    dejavuStyle: predictorOf('dejavu-style', predictors),
    dejavu: predictorOf('dejavu', predictors),
  }
})
afterAll(() => {
  for (const predictor of predictors) predictor.dispose()
  model.model.dispose()
  expect(backend.liveBuffers).toBe(0)
})

/** What is compared, on which questions, and how these are cut. */
interface Case {
  readonly planners: readonly PlannerName[]
  readonly sparsities: readonly number[]
  readonly scope: Scope
  readonly criterion: string
  readonly every?: number | null
  readonly leaky?: boolean
  readonly released?: boolean
  readonly mode: MaskMode
  readonly seed: number
  /** Questions in a shard. */
  readonly size: number
  /** A list of questions for each task. */
  readonly tasks: readonly (readonly Asked[])[]
}

const someCase: fc.Arbitrary<Case> = fc.record({
  planners: fc.subarray([...plannerNames]),
  sparsities: fc.subarray([0.3, 0.6, 0.9], { minLength: 1, maxLength: 2 }),
  scope: fc.constantFrom(...scopes),
  criterion: fc.constantFrom('plainact', 'l2norm', 'random'),
  every: fc.constantFrom(undefined, null, 2),
  leaky: fc.constantFrom(undefined, false, true),
  released: fc.boolean(),
  mode: fc.constantFrom(...maskModes),
  seed: fc.nat(),
  size: fc.integer({ min: 1, max: 3 }),
  tasks: fc.array(fc.array(someAsked, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 2 }),
})

/** One in which everything that a shard says matters. */
const wholeCase: Case = {
  planners: ['static', 'random', 'oracle', 'shadow', 'dejavu'],
  sparsities: [0.5, 0.8],
  scope: 'per-layer',
  criterion: 'random',
  mode: 'auto',
  seed: 3,
  size: 2,
  tasks: [[1, 2, 3, 4, 5].map((seed) => question(seed)), [6, 7].map((seed) => question(seed, 3))],
}

function configurationsOf({ criterion, ...rest }: Omit<Case, 'tasks'>): Configurations {
  return new Configurations({ ...rest, criterion: criterionByName(criterion), learnt: {}, sources })
}

/** What is asked in a case. */
function askedTasks(one: Case): AskedTasks {
  const tasks = one.tasks.map((asked, i): TaskRun => {
    const metrics = ['acc', 'acc_norm'] as const
    return { name: `${i}`, version: 1, metrics, shots: 0, original: 9, asked, leftOut: [], config: {} }
  })
  const { mode, seed } = one
  return { model: model.model, tasks, configurations: configurationsOf(one), mode, seed }
}

function run(one: Case, runner: ShardRunner | null, signal?: AbortSignal): Promise<TasksReport> {
  const provenance = { model: { hash: model.hash } } as RunOptions['provenance']
  return runTasks({ ...askedTasks(one), config: {}, provenance, runner }, undefined, signal)
}

const inShards = (one: Case, work: DoShard = makeDoShard(model)): ShardRunner => ({
  ...inlineRunner(work),
  examplesPerShard: one.size,
})

const resultOf = (report: TasksReport): string => JSON.stringify({ ...report, seconds: 0 })

async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

/** Every answer, likelihoods and all: a report has only means of them. @param runnerOf may be a mutant's */
const givesTheAnswersOfNone =
  (runnerOf: (one: Case) => ShardRunner) =>
  async (one: Case): Promise<void> => {
    const listener = { tell: () => {} }
    const place = { runner: runnerOf(one), hash: model.hash }
    const elsewhere = await allOf(askElsewhere(askedTasks(one), place, listener))
    const here = await allOf(askHere(askedTasks(one), listener))
    expect(JSON.stringify(elsewhere)).toBe(JSON.stringify(here))
  }

const decode = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes))

/** A runner whose results, or whose shards, are changed. */
const changed =
  (change: (answers: Answer[][]) => Answer[][], shardOf: (shard: Shard) => Shard = (shard) => shard) =>
  (one: Case): ShardRunner =>
    inShards(one, async (shard, context) => {
      const result = await makeDoShard(model)(shardOf(shard), context)
      return encodeAnswers(change(decode(result) as Answer[][]))
    })

const withSettings = (more: (settings: Shard['settings']) => Shard['settings']) =>
  changed(
    (answers) => answers,
    (shard) => ({ ...shard, settings: { ...shard.settings, ...more(shard.settings) } }),
  )

describe('tasks asked by jobs', () => {
  law(
    'have the answers of tasks asked in this process, for any methods and any cut of the questions',
    [someCase],
    givesTheAnswersOfNone((one) => inShards(one)),
    { runs: casesAtTier(3, 12), examples: [[wholeCase]], timeout: 120_000 },
  )

  test('give the report of tasks asked here', async () => {
    expect(resultOf(await run(wholeCase, inShards(wholeCase)))).toBe(resultOf(await run(wholeCase, null)))
  })

  const others = /^expected .* to be/
  const refused = /^answers \S+: expected /
  test.each<[string, RegExp, (one: Case) => ShardRunner]>([
    ['questions swapped', refused, changed((answers) => answers.toReversed())],
    [
      'questions swapped, with the right answers of their places',
      others,
      changed((answers) =>
        answers
          .toReversed()
          .map((rows, i) => rows.map((answer) => ({ ...answer, gold: answers[i][0].gold }))),
      ),
    ],
    [
      'configurations in another order',
      others,
      changed((answers) => answers.map((rows) => rows.toReversed())),
    ],
    [
      'another order of shards',
      refused,
      (one) => {
        const runner = inShards(one)
        return { ...runner, run: (shards, options) => runner.run(shards.toReversed(), options) }
      },
    ],
    [
      'the same random masks for every question',
      others,
      withSettings(({ seeds }) => ({ seeds: (seeds as number[]).map(() => 1) })),
    ],
    [
      'planners that see the answers',
      others,
      withSettings(() => ({ configurations: { ...describedOf(wholeCase), leaky: true } })),
    ],
    [
      'another criterion',
      others,
      withSettings(() => ({ configurations: { ...describedOf(wholeCase), criterion: 'plainact' } })),
    ],
  ])('mutant: %s: killed', async (_, words, mutant) => {
    await expect(givesTheAnswersOfNone(mutant)(wholeCase)).rejects.toThrow(words)
  })

  test('a change without effect is no mutant', async () => {
    await givesTheAnswersOfNone(changed((answers) => answers))(wholeCase)
    await givesTheAnswersOfNone(withSettings(() => ({ configurations: describedOf(wholeCase) })))(wholeCase)
  })

  test('an interrupted run reports finished questions, in order', async () => {
    const stop = new AbortController()
    let done = 0
    const work = makeDoShard(model)
    const runner = inShards(wholeCase, (shard, context) => {
      if (++done === 3) stop.abort()
      return work(shard, context)
    })
    const report = await run(wholeCase, runner, stop.signal)
    const [first] = wholeCase.tasks
    const finished = await run({ ...wholeCase, tasks: [first.slice(0, 4)] }, null)
    expect(report.complete).toBe(false)
    expect(resultOf({ ...report, complete: true })).toBe(resultOf(finished))
  })

  test('report progress to the end of each task', async () => {
    const told: string[] = []
    const tell: TaskProgress = (...progress) => void told.push(progress.join(' '))
    const place = { runner: inShards(wholeCase), hash: model.hash }
    await allOf(askElsewhere(askedTasks(wholeCase), place, { tell }))
    expect(told).toEqual(['0 2 5', '0 4 5', '0 5 5', '1 2 2'])
  })
})

/** Configurations as a shard's settings have them. */
function describedOf({ planners, sparsities, scope, criterion }: Case): Record<string, never> {
  return { planners, sparsities, scope, criterion, leaky: false, released: false } as never
}

/** A shard of two questions, and the store it reads from. */
async function oneShard(more: Partial<Case> = {}): Promise<{ shard: Shard; store: ShardRunner['store'] }> {
  const store = memoryStore()
  const one = { ...wholeCase, ...more }
  const pieces = [{ questions: one.tasks[0].slice(0, 2), seeds: [5, 6] }]
  const [shard] = await askShards({ model, configurations: configurationsOf(one) }, pieces, store)
  return { shard, store }
}

const doOne = (shard: Shard, store: ShardRunner['store'], ours = model): Promise<Uint8Array> =>
  makeDoShard(ours)(shard, contextOf(shard, store))

describe('a job of questions', () => {
  test('states its bits and storage, so that stores may be shared', () => {
    const { backend: own, weights } = model.model
    const of = (name: string, storage: string): unknown => {
      const other = { backend: { ...own, name }, weights: { ...weights, storage } } as never
      const { bits, storage: its } = agreementOf({ ...model, model: other }, 'all')
      return [bits, its]
    }
    expect(of('cuda', 'f32')).toEqual(['exact', 'f32'])
    expect(of('wasm-relaxed', 'int8')).toEqual(['wasm-relaxed', 'int8'])
  })

  test('of another model, method, storage or bits is refused', async () => {
    const { shard, store } = await oneShard()
    const { settings } = shard
    expect(settings).toMatchObject({ ...agreementOf(model, 'all') })
    for (const [name, other] of [
      ['model', 'b'.repeat(64)],
      ['method', 'b'.repeat(64)],
      ['bits', 'wasm-relaxed'],
      ['storage', 'int8'],
      ['storage', { toString: 1 }],
    ] as const) {
      const changedShard = { ...shard, settings: { ...settings, [name]: other as string } }
      await expect(doOne(changedShard, store)).rejects.toMatchObject({ code: 'SHARD_MODEL' })
    }
  })

  test('contains only the inputs of its planners', async () => {
    const filesOf = async (planners: PlannerName[]): Promise<string[]> =>
      Object.keys((await oneShard({ planners })).shard.files).toSorted()
    expect(await filesOf(['random', 'dense', 'oracle'])).toEqual(['questions'])
    expect(await filesOf(['static', 'dejavu'])).toEqual(['dejavu', 'questions', 'static'])
  })

  const configurations = describedOf(wholeCase)
  test.each<[string, Record<string, unknown>]>([
    ['no configurations', { configurations: null }],
    ['configurations that are a list', { configurations: [] }],
    ['a planner that is none', { configurations: { ...configurations, planners: ['constructor'] } }],
    ['dense, which is always there', { configurations: { ...configurations, planners: ['dense'] } }],
    ['a share above 1', { configurations: { ...configurations, sparsities: [1.5] } }],
    ['no scope', { configurations: { ...configurations, scope: 'x' } }],
    ['a criterion that is none', { configurations: { ...configurations, criterion: '__proto__' } }],
    ['asking after no token', { configurations: { ...configurations, every: 0 } }],
    ['a word for leaky', { configurations: { ...configurations, leaky: 'yes' } }],
    ['no released', { configurations: { ...configurations, released: null } }],
    ['a mode that is none', { mode: 'constructor' }],
    ['a seed too few', { seeds: [1] }],
    ['half a seed', { seeds: [1, 0.5] }],
    ['a seed too large', { seeds: [1, 2 ** 32] }],
  ])('is refused with %s', async (_, more) => {
    const { shard, store } = await oneShard()
    const settings = { ...shard.settings, ...more } as Shard['settings']
    await expect(doOne({ ...shard, settings }, store)).rejects.toMatchObject({ code: 'SHARD_FORMAT' })
  })

  test('is refused with a predictor of another kind, or of another model', async () => {
    const { shard, store } = await oneShard({ planners: ['shadow'] })
    const withPredictor = async (predictor: Predictor): Promise<Shard> => {
      return { ...shard, files: { ...shard.files, shadow: await store.add(encodePredictor(predictor)) } }
    }
    const dejavu = await withPredictor(sources.dejavu as Predictor)
    await expect(doOne(dejavu, store)).rejects.toMatchObject({ code: 'SHARD_FORMAT' })
    const wide = randomPredictor('shadow', { ...smallConfig, width: 32 }, backend, 'f32', 1)
    const other = await withPredictor(wide)
    wide.dispose()
    await expect(doOne(other, store)).rejects.toMatchObject({ code: 'PREDICTOR_MODEL' })
  })
})
