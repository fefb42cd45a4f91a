/**
 * Choice tasks asked by jobs: the report of one thread, whatever is compared and however the questions are cut; and
 * jobs that nobody vouches for.
 *
 * Tests src/evaluation/jobs/do_job.ts, src/jobs/job_model.ts and src/results/method_hash.ts.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../../src/backends/backend.ts'
import { createBackend } from '../../../src/backends/select.ts'
import { randomPredictor } from '../../../src/bench/predictors.ts'
import { compareMethods, inputsFrom, type Method, type MethodSources } from '../../../src/results/method.ts'
import { methodHash } from '../../../src/results/method_hash.ts'
import { makeDoJob } from '../../../src/evaluation/jobs/do_job.ts'
import { encodeScores, encodeJobs } from '../../../src/evaluation/jobs/evaluate_job.ts'
import { agreementOf, type JobModel } from '../../../src/jobs/job_model.ts'
import {
  askTasks,
  type AskedTasks,
  type TaskProgress,
  type TaskRun,
} from '../../../src/evaluation/tasks/asking.ts'
import type { Asked } from '../../../src/data/tasks/prompts.ts'
import { runTasks, type RunOptions, type TasksReport } from '../../../src/evaluation/tasks/run.ts'
import { textsOf } from '../../../src/evaluation/tasks/score.ts'
import type { MethodScore } from '../../../src/evaluation/window_evaluator.ts'
import { contextOf, type JobRunner } from '../../../src/jobs/runner.ts'
import { inlineRunner } from '../../jobs/inline_runner.ts'
import type { DoJob, Job } from '../../../src/jobs/job.ts'
import { memoryStore } from '../../../src/jobs/job_store.ts'
import { scopes, type Scope } from '../../../src/masks/budget.ts'
import { maskModes, type MaskMode } from '../../../src/engine/active_layer.ts'
import { predictorKinds } from '../../../src/predictor/predictor_config.ts'
import type { Prefill } from '../../../src/masks/planner.ts'
import { defaultPrefill, plannerOf } from '../../../src/planners/index.ts'
import { plannerNames, type Every, type PlannerName } from '../../../src/planners/index.ts'
import { encodePredictor, type Predictor } from '../../../src/predictor/predictor_file.ts'
import { Random } from '../../../src/tensor/random.ts'
import { law } from '../../harness/seed.ts'
import { casesAtTier, isRest } from '../../harness/tier.ts'
import { loadSmallModel, question, smallConfig, someAsked } from '../small_model.ts'
import { randomScores } from '../../../src/criteria/random.ts'

let backend: Backend
let model: JobModel
let predictors: Predictor[]
let sources: MethodSources

beforeAll(async () => {
  backend = await createBackend('wasm')
  const small = await loadSmallModel(backend)
  model = { model: small, hash: 'a'.repeat(64), method: await methodHash() }
  predictors = predictorKinds.map((kind) => randomPredictor(kind, smallConfig, backend, 'f32', 1))
  sources = { mean: randomScores(small.shape, new Random(8)), predictors }
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
  readonly every?: Every
  readonly prefill?: Prefill
  readonly leaky?: boolean
  readonly paperCompatible?: boolean
  readonly mode: MaskMode
  readonly seed: number
  /** Questions in a job. */
  readonly size: number
  /** A list of questions for each task. */
  readonly tasks: readonly (readonly Asked[])[]
}

const drawnCase: fc.Arbitrary<Case> = fc.record({
  planners: fc.subarray([...plannerNames]),
  sparsities: fc.subarray([0.3, 0.6, 0.9], { minLength: 1, maxLength: 2 }),
  scope: fc.constantFrom(...scopes),
  criterion: fc.constantFrom('plainact', 'l2norm', 'random'),
  every: fc.constantFrom(undefined, 'once' as const, 'auto' as const, 2),
  prefill: fc.constantFrom(undefined, 'dense' as const),
  leaky: fc.constantFrom(undefined, false, true),
  paperCompatible: fc.boolean(),
  mode: fc.constantFrom(...maskModes),
  seed: fc.nat(),
  size: fc.integer({ min: 1, max: 3 }),
  tasks: fc.array(fc.array(someAsked, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 2 }),
})

/**
 * Planners that need a dense prompt decide when they do by default, and a leaky mask is known before the prompt runs, which one
 * of input channels is not.
 */
const someCase = drawnCase.map(({ planners, prefill, ...rest }) => ({
  ...rest,
  planners: planners.filter(
    (name) =>
      !(rest.leaky && plannerOf(name).skips === 'channels') &&
      (rest.every === undefined ||
        !(defaultPrefill(name) === 'dense' || (name === 'dejavu' && rest.every === 'auto'))),
  ),
  prefill: rest.leaky ? undefined : prefill,
}))

/** One in which everything that a job says matters. */
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

function methodsOf({ mode: _mode, seed: _seed, size: _size, tasks: _tasks, ...options }: Case): Method[] {
  return compareMethods(model.model, { ...options, sources })
}

/** What is asked in a case. */
function askedTasks(one: Case): AskedTasks {
  const tasks = one.tasks.map((asked, i): TaskRun => {
    const metrics = ['acc', 'acc_norm'] as const
    return { name: `${i}`, version: 1, metrics, shots: 0, original: 9, asked, leftOut: [], config: {} }
  })
  const { mode, seed } = one
  return { model: model.model, tasks, methods: methodsOf(one), sources, mode, seed }
}

function run(one: Case, runner: JobRunner | null, signal?: AbortSignal): Promise<TasksReport> {
  const provenance = { model: { hash: model.hash } } as RunOptions['provenance']
  return runTasks({ ...askedTasks(one), config: {}, provenance, runner }, undefined, signal)
}

const inJobs = (one: Case, work: DoJob = makeDoJob(model)): JobRunner => ({
  ...inlineRunner(work),
  examplesPerJob: one.size,
})

const resultOf = (report: TasksReport): string => JSON.stringify({ ...report, seconds: 0 })

async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

/** Every answer, likelihoods and all: a report has only means of them. @param runnerOf may be a mutant's */
const givesTheAnswersOfNone =
  (runnerOf: (one: Case) => JobRunner) =>
  async (one: Case): Promise<void> => {
    const listener = { tell: () => {} }
    const place = { runner: runnerOf(one), hash: model.hash }
    const distributed = await allOf(askTasks(askedTasks(one), listener, place))
    const here = await allOf(askTasks(askedTasks(one), listener))
    expect(JSON.stringify(distributed)).toBe(JSON.stringify(here))
  }

const decode = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes))

/** A runner whose results, or whose jobs, are changed. */
const changed =
  (change: (scores: MethodScore[][][]) => MethodScore[][][], jobOf: (job: Job) => Job = (job) => job) =>
  (one: Case): JobRunner =>
    inJobs(one, async (job, context) => {
      const result = await makeDoJob(model)(jobOf(job), context)
      return encodeScores(change(decode(result) as MethodScore[][][]))
    })

const withSettings = (more: (settings: Job['settings']) => Job['settings']) =>
  changed(
    (scores) => scores,
    (job) => ({ ...job, settings: { ...job.settings, ...more(job.settings) } }),
  )

/** A method as a job's settings have it, and the name of its file. */
interface Entry {
  readonly method: Method
  readonly by: string | null
}

const withMethods = (change: (method: Method) => Method) =>
  withSettings(({ methods }) => ({
    methods: (methods as unknown as Entry[]).map(({ method, by }) => ({
      method: change(method),
      by,
    })) as never,
  }))

describe('tasks asked by jobs', () => {
  law(
    'have the answers of tasks asked in this process, for any methods and any cut of the questions',
    { one: someCase },
    ({ one }) => givesTheAnswersOfNone((asked) => inJobs(asked))(one),
    { runs: casesAtTier(3, 12), examples: [{ one: wholeCase }] },
  )

  test.skipIf(isRest)('give the report of tasks asked here', async () => {
    expect(resultOf(await run(wholeCase, inJobs(wholeCase)))).toBe(resultOf(await run(wholeCase, null)))
  })

  const isFound = (words: RegExp, mutants: Readonly<Record<string, (one: Case) => JobRunner>>): void =>
    test.skipIf(isRest).each(Object.entries(mutants))('mutant: %s: killed', async (_, mutant) => {
      await expect(givesTheAnswersOfNone(mutant)(wholeCase)).rejects.toThrow(words)
    })
  isFound(/^scores [\d.]+\w*: expected .*, got/, {
    'texts in another order': changed((scores) => scores.map((row) => row.toReversed())),
    'answers swapped': changed((scores) => scores.map((row) => row.map((answers) => answers.toReversed()))),
    'an answer left out': changed((scores) => scores.map((row) => row.map((one) => one.slice(1)))),
    'another order of jobs': (one) => {
      const runner = inJobs(one)
      return { ...runner, run: (jobs, options) => runner.run(jobs.toReversed(), options) }
    },
  })
  isFound(/^expected .* to be/, {
    'questions swapped': changed((scores) =>
      scores.map(([own, alone, ...rest]) => [...rest.slice(0, 2), own, alone, ...rest.slice(2)]),
    ),
    'the same random masks for every question': withSettings(({ seeds }) => ({
      seeds: (seeds as number[]).map(() => 1),
    })),
    'planners that see the answers': withMethods((method) => ({ ...method, leaky: true })),
    'another criterion': withMethods((method) => ({ ...method, criterion: 'plainact' })),
  })
  isFound(/expected/, {
    'methods in another order': changed((scores) => scores.toReversed()),
  })

  test.skipIf(isRest)('a change without effect is no mutant', async () => {
    await givesTheAnswersOfNone(changed((scores) => scores))(wholeCase)
    await givesTheAnswersOfNone(withMethods((method) => ({ ...method })))(wholeCase)
  })

  test('an interrupted run reports finished questions, in order', async () => {
    const stop = new AbortController()
    let done = 0
    const work = makeDoJob(model)
    const runner = inJobs(wholeCase, (job, context) => {
      if (++done === 3) stop.abort()
      return work(job, context)
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
    const place = { runner: inJobs(wholeCase), hash: model.hash }
    await allOf(askTasks(askedTasks(wholeCase), { tell }, place))
    expect(told).toEqual(['0 0 5', '0 2 5', '0 4 5', '0 5 5', '1 2 2'])
  })
})

/** A job of two questions, and the store it reads from. */
async function oneJob(more: Partial<Case> = {}): Promise<{ job: Job; store: JobRunner['store'] }> {
  const store = memoryStore()
  const one = { ...wholeCase, ...more }
  const texts = [5, 6].flatMap((own, i) => textsOf(one.tasks[0][i], own))
  const options = { inputsOf: inputsFrom(sources) }
  const [job] = await encodeJobs([{ methods: methodsOf(one), texts }], model, options, store)
  return { job, store }
}

const doOne = (job: Job, store: JobRunner['store'], ours = model): Promise<Uint8Array> =>
  makeDoJob(ours)(job, contextOf(job, store))

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
    const { job, store } = await oneJob()
    const { settings } = job
    expect(settings).toMatchObject({ ...agreementOf(model, 'all') })
    for (const [name, other] of [
      ['model', 'b'.repeat(64)],
      ['method', 'b'.repeat(64)],
      ['bits', 'wasm-relaxed'],
      ['storage', 'int8'],
      ['storage', { toString: 1 }],
    ] as const) {
      const changedJob = { ...job, settings: { ...settings, [name]: other as string } }
      await expect(doOne(changedJob, store)).rejects.toMatchObject({ code: 'SHARD_MODEL' })
    }
  })

  test('contains only the inputs of its planners', async () => {
    const filesOf = async (planners: PlannerName[]): Promise<string[]> =>
      Object.keys((await oneJob({ planners })).job.files).toSorted()
    expect(await filesOf(['random', 'dense', 'oracle'])).toEqual(['texts'])
    expect(await filesOf(['static', 'dejavu'])).toEqual(['by-0', 'by-1', 'texts'])
  })

  test.each<[string, Record<string, unknown>]>([
    ['no methods', { methods: null }],
    ['methods that are an object', { methods: {} }],
    ['an empty list of methods', { methods: [] }],
    ['a method that is none', { methods: [7] }],
    ['a mode that is none', { mode: 'constructor' }],
    ['a seed too few', { seeds: [1] }],
    ['half a seed', { seeds: [1, 1, 1, 0.5] }],
    ['a seed too large', { seeds: [1, 1, 1, 2 ** 32] }],
  ])('is refused with %s', async (_, more) => {
    const { job, store } = await oneJob()
    const settings = { ...job.settings, ...more } as Job['settings']
    await expect(doOne({ ...job, settings }, store)).rejects.toMatchObject({ code: 'SHARD_FORMAT' })
  })

  test.each<[string, PlannerName, Record<string, unknown>]>([
    ['a planner that is none', 'random', { planner: 'constructor' }],
    ['a share above 1', 'random', { sparsity: 1.5 }],
    ['a share of heads above 1', 'random', { headSparsity: 1.5 }],
    ['no scope', 'random', { scope: 'x' }],
    ['a criterion that is none', 'oracle', { criterion: '__proto__' }],
    ['no criterion', 'random', { criterion: null }],
    ['asking after no token', 'random', { every: 0 }],
    ['no word of when it decides', 'random', { every: null }],
    ['a prompt that runs half dense', 'random', { prefill: 'half' }],
    ['no samples', 'oracle', { samples: 0 }],
    ['half a layer that runs whole', 'random', { denseLayers: 0.5 }],
    ['a word for leaky', 'random', { leaky: 'yes' }],
    ['no flag of the paper', 'random', { paperCompatible: null }],
    ['a file where none is asked', 'shadow', { planner: 'random' }],
    ['no file where one is asked', 'random', { planner: 'static' }],
  ])('is refused with a method with %s', async (_, planner, more) => {
    const { job, store } = await oneJob()
    const methods = (job.settings.methods as unknown as Entry[]).map(({ method, by }) => ({
      method: method.planner === planner ? { ...method, ...more } : method,
      by,
    }))
    const settings = { ...job.settings, methods: methods as never }
    await expect(doOne({ ...job, settings }, store)).rejects.toMatchObject({ code: 'SHARD_FORMAT' })
  })

  test('is refused with a predictor of another kind, or of another model', async () => {
    const { job, store } = await oneJob({ planners: ['shadow'] })
    const withPredictor = async (predictor: Predictor): Promise<Job> => {
      return { ...job, files: { ...job.files, 'by-0': await store.add(encodePredictor(predictor)) } }
    }
    const dejavu = await withPredictor(predictors.find(({ kind }) => kind === 'dejavu') as Predictor)
    await expect(doOne(dejavu, store)).rejects.toMatchObject({ code: 'SHARD_FORMAT' })
    const wide = randomPredictor('shadow', { ...smallConfig, width: 32 }, backend, 'f32', 1)
    const other = await withPredictor(wide)
    wide.dispose()
    await expect(doOne(other, store)).rejects.toMatchObject({ code: 'PREDICTOR_MODEL' })
  })
})
