/**
 * All fields of a method together: a plan that shares passes is the plan of a method alone, a job scores what this thread does, and
 * rows of reports tell what the method was.
 *
 * The type of the arbitraries asks for every field of `Method`. Tests src/evaluation/window_evaluator.ts, src/results/method.ts,
 * src/evaluation/evaluate.ts, src/evaluation/jobs/evaluate_job.ts, src/evaluation/tasks/run.ts and src/evaluation/text_perplexity.ts.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { randomPredictor } from '../../src/bench/predictors.ts'
import { randomScores } from '../../src/criteria/random.ts'
import { denseMask } from '../../src/masks/mask.ts'
import { scopes } from '../../src/masks/budget.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { prefills } from '../../src/masks/planner.ts'
import { evaluateJobs } from '../../src/evaluation/jobs/evaluate_job.ts'
import { makeDoJob } from '../../src/evaluation/jobs/do_job.ts'
import { runTasks, type RunOptions } from '../../src/evaluation/tasks/run.ts'
import { textPerplexity } from '../../src/evaluation/text_perplexity.ts'
import { textOfDocuments } from '../../src/data/texts.ts'
import { scoreWindow } from '../../src/evaluation/score_window.ts'
import { WindowPlanner, type MethodScore } from '../../src/evaluation/window_evaluator.ts'
import type { JobModel } from '../../src/jobs/job_model.ts'
import { rankingOf } from '../../src/planners/ranking.ts'
import { plannerNames } from '../../src/planners/index.ts'
import { predictorKinds } from '../../src/predictor/predictor_config.ts'
import type { Predictor } from '../../src/predictor/predictor_file.ts'
import {
  denseMethod,
  inputsFrom,
  makeMethod,
  type Method,
  type MethodInputs,
  type MethodSources,
} from '../../src/results/method.ts'
import { methodHash } from '../../src/results/method_hash.ts'
import { ShadowError } from '../../src/tensor/errors.ts'
import { Random } from '../../src/tensor/random.ts'
import { sameData } from '../harness/recorded.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'
import { compensations } from '../../src/masks/compensation.ts'
import { randomMoments } from '../compensation/random_moments.ts'
import { inlineRunner } from '../jobs/inline_runner.ts'
import { question, smallConfig, somePages, someTasks, useSmallModel } from './small_model.ts'

const small = useSmallModel('reference')
let predictors: Predictor[]
let sources: MethodSources
let jobModel: JobModel
beforeAll(async () => {
  const { model } = small.source()
  predictors = predictorKinds.map((kind) => randomPredictor(kind, smallConfig, model.backend, 'f32', 1))
  sources = { mean: randomScores(model.shape, new Random(8)), predictors, moments: randomMoments(model, 9) }
  jobModel = { model, hash: 'a'.repeat(64), method: await methodHash() }
})
afterAll(() => {
  for (const predictor of predictors) predictor.dispose()
})

/** Fields that say what a planner learnt from: what it then decides by is given here. */
type Learnt = 'aggregation' | 'examples' | 'predictor'

/** Values of every other field; undefined leaves it out. */
const fields: { [Field in keyof Required<Omit<Method, Learnt>>]: fc.Arbitrary<Method[Field] | undefined> } = {
  planner: fc.constantFrom(...plannerNames),
  criterion: fc.constantFrom('plainact', 'l2norm', 'gradnorm'),
  sparsity: fc.constantFrom(0, 0.3, 0.5, 0.81),
  headSparsity: fc.constantFrom(undefined, undefined, undefined, 0, 0.5),
  neuronSparsity: fc.constantFrom(undefined, undefined, 0.4),
  scope: fc.constantFrom(...scopes),
  every: fc.constantFrom('once' as const, 'once' as const, 'once' as const, 1, 3, 'auto' as const),
  prefill: fc.constantFrom(undefined, ...prefills),
  samples: fc.constantFrom(undefined, undefined, 1, 2),
  halves: fc.constantFrom(undefined, undefined, true),
  leaky: fc.constantFrom(undefined, undefined, undefined, true),
  paperCompatible: fc.constantFrom(undefined, undefined, true),
  compensate: fc.constantFrom(undefined, undefined, ...compensations),
  ridge: fc.constantFrom(undefined, 0.1, 1),
  promptShare: fc.constantFrom(undefined, undefined, 0.3),
  denseLayers: fc.constantFrom(undefined, undefined, 0, 2),
}

const anyMethod = fc.record(fields).map((given): Method => {
  const method = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return method as unknown as Method
})

/** What is done, or the code it is refused with. */
function outcomeOf<T>(work: () => T): T | string {
  try {
    return work()
  } catch (error) {
    if (error instanceof ShadowError) return error.code
    throw error
  }
}

const settingsOf = (planner: MaskPlanner | null): unknown =>
  planner && {
    name: planner.name,
    every: planner.every,
    shift: planner.shift,
    prefill: planner.prefill,
    leaky: planner.leaky,
    compensation: planner.compensation?.seesPrompt,
    // A plan that shares passes asks its planner after layer 0, whose heads are all kept.
    asked: Object.keys(planner)
      .filter((key) => typeof planner[key as keyof MaskPlanner] === 'function')
      .toSorted(),
  }

/** What a plan comes to: its settings, and the score and mask of a window under it. */
function planned(planner: MaskPlanner | null, window: Parameters<typeof scoreWindow>[1]): unknown {
  const { model } = small.source()
  const scored = outcomeOf(() => scoreWindow(model, window, { planner }))
  if (typeof scored === 'string') return scored
  const { heads, neurons, channels } = scored.mask ?? denseMask(model.shape)
  return { ...scored, mask: { heads, neurons, channels }, settings: settingsOf(planner) }
}

/** What a planner says of itself is what its method says. @throws Error naming the first field that does not */
function expectSettings(method: Method, planner: MaskPlanner | null): void {
  if (!planner) return sameData('planner', method.planner, 'dense')
  const { every, leaky, paperCompatible, compensate = 'none', promptShare = 0 } = method
  const isShown = compensate !== 'none' && promptShare > 0
  const { prefill = isShown ? 'dense' : undefined } = method
  sameData('compensation', planner.compensation?.seesPrompt, compensate === 'none' ? undefined : isShown)
  const times = every === 'once' ? {} : every === 'auto' ? { every: 5, shift: 0.1 } : { every }
  const found = { every: planner.every, shift: planner.shift, prefill: planner.prefill, leaky: planner.leaky }
  sameData('settings', found, { every: undefined, shift: undefined, prefill, leaky, ...times })
  const policy = rankingOf(planner)?.budget.policy
  if (policy !== undefined) sameData('policy', policy, paperCompatible ? 'paper-compatible' : 'exact')
}

type Plan = (text: WindowPlanner, method: Method, inputs: MethodInputs) => MaskPlanner | null

const sharedIsFresh = lawForAll(
  'methods that share passes over a text plan as each of them does alone',
  { methods: fc.array(anyMethod, { minLength: 1, maxLength: 4, size: 'max' }), seed: fc.nat({ max: 20 }) },
  (plan: Plan, { methods, seed }) => {
    const { model } = small.source()
    const [request] = question(seed).requests
    const window = { ...request, words: 1 }
    const shared = new WindowPlanner(model, window, seed)
    const inputsOf = inputsFrom(sources)
    for (const method of methods) {
      const inputs = inputsOf(method)
      const alone = new WindowPlanner(model, window, seed)
      const expected = outcomeOf(() => planned(alone.plan(method, inputs, true), window))
      const actual = outcomeOf(() => {
        const planner = plan(shared, method, inputs)
        expectSettings(method, planner)
        return planned(planner, window)
      })
      sameData(`plan of ${JSON.stringify(method)}`, actual, expected)
    }
  },
  { runs: casesAtTier(120, 500) },
)
stateLaw(sharedIsFresh, (text, method, inputs) => text.plan(method, inputs))

test('shared plans that drop a field of the method: killed', async () => {
  for (const field of [
    'paperCompatible',
    'headSparsity',
    'neuronSparsity',
    'scope',
    'denseLayers',
    'prefill',
    'leaky',
    'every',
    'compensate',
    'ridge',
    'promptShare',
  ] as const)
    await kills(sharedIsFresh, (text, method, inputs) => {
      const { [field]: _, ...rest } = method
      return text.plan(
        field === 'scope' || field === 'every'
          ? { ...method, scope: 'global', every: 'once' }
          : (rest as Method),
        inputs,
      )
    })
})

type Score = (
  methods: readonly Method[],
  seeds: readonly number[],
  options: object,
) => Promise<MethodScore[][][]>

const here: Score = async (methods, seeds, options) => {
  const texts = seeds.map((seed) => ({ windows: [{ ...question(seed).requests[0], words: 2 }], seed }))
  const scores: MethodScore[][][] = []
  for await (const row of evaluateJobs(jobModel.model, [{ methods, texts }], {
    inputsOf: inputsFrom(sources),
    ...options,
  }))
    scores.push(row)
  return scores
}
const byJobs: Score = async (methods, seeds, options) => {
  const runner = inlineRunner(makeDoJob(jobModel))
  const texts = seeds.map((seed) => ({ windows: [{ ...question(seed).requests[0], words: 2 }], seed }))
  const scores: MethodScore[][][] = []
  const distributed = { runner, model: jobModel }
  for await (const row of evaluateJobs(
    jobModel.model,
    [{ methods, texts }],
    { inputsOf: inputsFrom(sources), ...options },
    distributed,
  ))
    scores.push(row)
  return scores
}

const jobsAgree = lawForAll(
  'a job scores every method as this thread does, all fields and options of it together',
  {
    methods: fc.array(anyMethod, { minLength: 1, maxLength: 2, size: 'max' }),
    seeds: fc.array(fc.nat({ max: 20 }), { minLength: 1, maxLength: 2, size: 'max' }),
    options: fc.record({
      mode: fc.constantFrom(undefined, 'simulate' as const, 'pack' as const),
      compared: fc.boolean(),
      kind: fc.constantFrom(undefined, 'ask' as const),
    }),
  },
  async (score: Score, { methods, seeds, options }) => {
    const run = (of: Score): Promise<unknown> =>
      of(methods, seeds, options).catch((error: unknown) => {
        if (error instanceof ShadowError) return error.code
        throw error
      })
    sameData('scores', await run(score), await run(here))
  },
  { runs: casesAtTier(60, 300) },
)
stateLaw(jobsAgree, byJobs)

test('jobs that drop a field of the method or an option: killed', async () => {
  for (const field of [
    'paperCompatible',
    'headSparsity',
    'prefill',
    'leaky',
    'denseLayers',
    'samples',
    'halves',
  ] as const)
    await kills(jobsAgree, (methods, ...rest) =>
      byJobs(
        methods.map((method) => ({ ...method, [field]: undefined })),
        ...rest,
      ),
    )
  await kills(jobsAgree, (methods, seeds, options) => byJobs(methods, seeds, { ...options, compared: false }))
})

test('the rows of reports tell what a method was: who decided, where units competed, what the prompt ran under', async () => {
  const source = small.source()
  const random = makeMethod({ planner: 'random', sparsity: 0.5, scope: 'per-layer' })
  const methods: readonly Method[] = [
    denseMethod,
    random,
    { ...random, leaky: true },
    { ...random, prefill: 'dense' },
    { ...makeMethod({ planner: 'static', criterion: 'plainact', sparsity: 0.3 }), prefill: 'masked' },
  ]
  const row = { planner: 'random', criterion: 'none', scope: 'per-layer', sparsity: 0.5, leaky: false }
  const told = [
    { ...row, planner: 'dense', scope: 'global', sparsity: 0, prefill: 'dense' },
    { ...row, prefill: 'masked' },
    { ...row, leaky: true, prefill: 'masked' },
    { ...row, prefill: 'dense' },
    { ...row, planner: 'static', criterion: 'plainact', scope: 'global', sparsity: 0.3, prefill: 'masked' },
  ]
  const inputs = { methods, sources, seed: 1 }
  const text = textOfDocuments('pages', somePages(3))
  const measured = await textPerplexity({ ...source, ...inputs, text, prompt: 6, windows: 2 })
  expect(measured.rows).toMatchObject(told)
  const [task] = someTasks()
  const asked = await runTasks({
    model: source.model,
    tasks: [task],
    ...inputs,
    config: {},
    provenance: {} as RunOptions['provenance'],
  })
  expect(asked.rows).toMatchObject(told)
})
