/**
 * The cache of experiments: parts are made once, kept under all they depend on, and are the same whoever made them.
 *
 * Tests src/experiments/cache/measure.ts and src/experiments/cache/trained.ts.
 */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { plainact } from '../../../src/criteria/plainact.ts'
import { comparisonMethod } from '../../../src/experiments/methods.ts'
import { collectExample } from '../../../src/calibration/examples.ts'
import { criterionName, denseMethod, type Method } from '../../../src/results/method.ts'
import { ExperimentCache, type CacheOptions } from '../../../src/experiments/cache/experiment_cache.ts'
import { measureMethods, type MeasuredMethod } from '../../../src/experiments/cache/measure.ts'
import { expectedScores, type MethodScore } from '../../../src/evaluation/window_evaluator.ts'
import { methodHash } from '../../../src/results/method_hash.ts'
import { scoreWindow } from '../../../src/evaluation/score_window.ts'
import { settingsBySize, type Settings } from '../../../src/evaluation/settings.ts'
import { makeDoJob } from '../../../src/evaluation/jobs/do_job.ts'
import { inlineRunner } from '../../jobs/inline_runner.ts'
import type { Job } from '../../../src/jobs/job.ts'
import { makeBudget } from '../../../src/masks/budget.ts'
import { selectMask } from '../../../src/masks/selection.ts'
import type { LanguageModel } from '../../../src/engine/language_model.ts'
import { promptPlanner } from '../../../src/planners/prompt_plainact.ts'
import { somePages, useSmallModel } from '../../evaluation/small_model.ts'

const small = useSmallModel('wasm')
let model: LanguageModel
beforeAll(() => void ({ model } = small.source()))

const documents = somePages(20)

const settings: Settings = {
  ...settingsBySize.quick,
  prompt: 12,
  continuation: 10,
  calibration: 8,
  evaluation: 4,
  headHidden: 4,
  neuronHidden: 4,
  training: { epochs: 3, batch: 4, rate: 1e-2, decay: 0, heldOut: 0.25, patience: 5 },
}

const methods: Method[] = [
  denseMethod,
  ...(['oracle', 'prompt-plainact', 'shadow', 'dejavu-style', 'dejavu', 'static', 'random'] as const).map(
    (planner) => comparisonMethod(settings, { criterion: 'plainact', scope: 'global' }, planner, 0.5),
  ),
]

const openCache = (more: Partial<CacheOptions> = {}): Promise<ExperimentCache> =>
  ExperimentCache.open({
    ...small.source(),
    store: small.newStore(),
    documents,
    prompt: settings.prompt,
    continuation: settings.continuation,
    ...more,
  })

async function measure(
  options: Partial<CacheOptions>,
  chosen = methods,
  seed = 3,
): Promise<MeasuredMethod[]> {
  const cache = await openCache(options)
  try {
    return await measureMethods(cache, chosen, settings.evaluation, seed)
  } finally {
    await cache.dispose()
  }
}

let measured: Promise<MeasuredMethod[]> | undefined
/** The scores of every method with an empty store, with which the other ways are compared. */
const plainly = (): Promise<MeasuredMethod[]> => (measured ??= measure({}))

/** Every number from jobs, done in this thread; a mutant may change their results. */
async function inJobs(
  options: Partial<CacheOptions> = {},
  change: (result: Uint8Array, job: Job) => Uint8Array = (result) => result,
): Promise<MeasuredMethod[]> {
  const { jobModel } = await openCache()
  const work = makeDoJob(jobModel)
  const runner = inlineRunner(async (job, context) => change(await work(job, context), job))
  return measure({ ...options, runner: { ...runner, examplesPerJob: 3 } })
}

describe('jobs', () => {
  test('change no number, with a full, a partial or an empty store', async () => {
    const alone = await plainly()
    expect(await inJobs()).toEqual(alone)
    const store = small.newStore()
    await measure({ store }, methods.slice(0, 3))
    expect(await inJobs({ store })).toEqual(alone)
    const refuse = (): Uint8Array => {
      throw new Error('asked again')
    }
    expect(await inJobs({ store }, refuse)).toEqual(alone)
  })

  test('mutants are killed: swapped windows of a job, methods in another order', async () => {
    const alone = await plainly()
    const mutate = async (change: (rows: MethodScore[][][]) => unknown): Promise<MeasuredMethod[]> =>
      inJobs({}, (result, { kind }) => {
        if (kind !== 'score') return result
        const rows = JSON.parse(new TextDecoder().decode(result)) as MethodScore[][][]
        return new TextEncoder().encode(JSON.stringify(change(rows)))
      })
    expect(await mutate((rows) => rows)).toEqual(alone)
    const swapped = mutate((rows) => rows.map((row) => row.toReversed()))
    await expect(swapped).rejects.toThrow('scores 0.0.0.tokens: expected 7, got the number 5')
    const withCosts = (row: MethodScore[][]): MethodScore[][] => {
      const costs = row.flat().map(({ nll }) => nll)
      return row.map(([score]) => [{ ...score, nll: costs.pop() ?? NaN }])
    }
    expect(await mutate((rows) => rows.map(withCosts))).not.toEqual(alone)
    expect(await mutate((rows) => rows.toReversed())).not.toEqual(alone)
  })
})

describe('parts', () => {
  test('a store changes no number: written to it, read from it', async () => {
    const store = small.newStore()
    const plain = await plainly()
    expect(await measure({ store })).toEqual(plain)
    expect(await measure({ store })).toEqual(plain)
  })

  test('a stored part is not computed again', async () => {
    const store = small.newStore()
    const stages: string[] = []
    const onProgress: CacheOptions['onProgress'] = ({ stage, done, total }) => {
      if (done > 0 && done < total) stages.push(stage)
    }
    await measure({ store, onProgress })
    expect(new Set(stages)).toEqual(new Set(['calibrate', 'train', 'evaluate']))
    const files = readdirSync(store.path).length
    stages.length = 0
    await measure({ store, onProgress })
    expect(stages).toEqual([])
    expect(readdirSync(store.path)).toHaveLength(files)
  })

  test('another seed, model or text is another part', async () => {
    const store = small.newStore()
    const [fixed] = methods.filter(({ planner }) => planner === 'static')
    const count = async (options: Partial<CacheOptions>, seed: number): Promise<number> => {
      await measure({ store, ...options }, [fixed], seed)
      return readdirSync(store.path).filter((name) => name.endsWith('.json')).length
    }
    const other = join(small.folder, 'other model')
    writeFileSync(other, 'other weights')
    const counts = [
      await count({}, 1),
      await count({}, 1),
      await count({}, 2),
      await count({ modelFiles: [other] }, 1),
      await count({ documents: documents.slice(2) }, 1),
    ]
    expect(counts).toEqual([1, 1, 2, 3, 4])
  })

  test('random masks depend on the seed alone and are nested over sparsities', async () => {
    const random = methods.filter(({ planner }) => planner === 'random')
    const first = await measure({}, random, 1)
    expect(await measure({}, random, 1)).toEqual(first)
    expect(await measure({}, random, 2)).not.toEqual(first)
  })

  test('an interrupted run resumes', async () => {
    const store = small.newStore()
    const interrupt = new AbortController()
    const onProgress: CacheOptions['onProgress'] = ({ stage, done }) => {
      if (stage === 'calibrate' && done === 3) interrupt.abort()
    }
    await expect(measure({ store, onProgress, signal: interrupt.signal })).rejects.toThrow()
    const computed: number[] = []
    const resumed = await measure({
      store,
      onProgress: ({ stage, done, total }) => {
        if (stage === 'calibrate' && done === 0) computed.push(total)
      },
    })
    expect(resumed).toEqual(await plainly())
    // The first calibration that goes on has three windows less to do.
    expect(computed[0]).toBeLessThanOrEqual(settings.calibration - 3)
  })

  test('the method is part of every key; traces depend on fewer sources', async () => {
    const { calibration, all } = await methodHash()
    expect(calibration).toMatch(/^[0-9a-f]{64}$/)
    expect(all).not.toBe(calibration)
    const cache = await openCache()
    expect(cache.identity('calibration').method).toBe(calibration)
    expect(cache.identity('scores').method).toBe(all)
  })
})

test('fewer examples are the first of more, and are not computed again', async () => {
  const stages: number[] = []
  const cache = await openCache({ onProgress: ({ total }) => stages.push(total) })
  await cache.examples({ count: 8, shots: null }, 1, ['plainact', 'l2norm'])
  const told = stages.length
  const few = await cache.examples({ count: 3, shots: null }, 1, ['plainact'])
  expect(stages).toHaveLength(told)
  const other = await openCache()
  const own = await other.examples({ count: 3, shots: null }, 1, ['plainact'])
  expect(few.map(({ index }) => index)).toEqual([0, 1, 2])
  few.forEach(({ features, scores }, i) => {
    expect(features).toEqual(own[i].features)
    expect(scores.get('plainact')).toEqual(own[i].scores.get('plainact'))
  })
  await Promise.all([cache.dispose(), other.dispose()])
})

test('the key of a cached part depends on seed, criterion and aggregation', async () => {
  const told: [number, number][] = []
  const cache = await openCache({
    onProgress: ({ stage, done, total }) => void (stage === 'train' && told.push([done, total])),
  })
  const few = { count: 3, shots: null }
  await cache.examples({ count: 8, shots: null }, 1, ['plainact'])
  const other = await openCache()
  expect(await cache.examples(few, 2, ['plainact'])).toEqual(await other.examples(few, 2, ['plainact']))
  const pruned = await cache.examples({ ...few, pruned: 0.75 }, 2, ['plainact', 'l2norm'])
  const alone = await other.examples({ ...few, pruned: 0.75 }, 2, ['l2norm'])
  expect(pruned.map(({ scores }) => scores.get('l2norm'))).toEqual(
    alone.map(({ scores }) => scores.get('l2norm')),
  )
  const [fixed, shadow] = ['static', 'shadow'].map(
    (name) => methods.find(({ planner }) => planner === name) as Method,
  )
  await cache.mean(fixed, 2)
  expect(await cache.mean({ ...fixed, aggregation: 'rank' }, 2)).toEqual(
    await other.mean({ ...fixed, aggregation: 'rank' }, 2),
  )
  await cache.predictor(shadow, 2)
  // Two networks of three epochs each.
  expect(told.map(([done]) => done)).toEqual(told.map(([done]) => done).toSorted((a, b) => a - b))
  expect(told.at(-1)).toEqual([6, 6])
  await Promise.all([cache.dispose(), other.dispose()])
})

describe('methods', () => {
  test('shared passes give the decision of each planner alone', async () => {
    const cache = await openCache()
    const [oracle] = methods.filter(({ planner }) => planner === 'prompt-plainact')
    const [measured] = await measureMethods(cache, [oracle], 1, 3)
    const [window] = cache.windows('evaluate', 1, 3)
    const planner = promptPlanner(model, makeBudget(0.5))
    expect(measured.scores[0].nll).toBe(scoreWindow(model, window, { planner }).nll)
    await cache.dispose()
  })

  test('scores of a pruned model: neurons under its mask, heads and features of the dense one', async () => {
    const cache = await openCache()
    const dense = { count: settings.calibration, shots: null }
    const pruned = { ...dense, pruned: 0.75 }
    const plain = await cache.examples(dense, 0, ['plainact'])
    const found = await cache.examples(pruned, 0, ['plainact'])
    const method = (examples: typeof dense): Method => ({ ...methods[6], examples })
    const mean = await cache.mean(method(dense), 0)
    const windows = cache.windows('calibrate', settings.calibration, 0)
    found.forEach(({ features, scores }, i) => {
      const mask = selectMask(mean, makeBudget(0.75))
      const own = collectExample(model, windows[i], [plainact], { mask }).scores.get('plainact')
      expect(features).toEqual(plain[i].features)
      expect(scores.get('plainact')?.heads).toEqual(plain[i].scores.get('plainact')?.heads)
      expect(scores.get('plainact')?.neurons).toEqual(own?.neurons)
    })
    expect(criterionName(method(pruned))).toBe('plainact@0.75')
    expect(criterionName(method(dense))).toBe('plainact')
    await cache.dispose()
  })

  test('only a leaky planner sees the answer', async () => {
    const base = methods.filter(({ planner }) => planner === 'prompt-plainact')[0]
    const cache = await openCache()
    const [plain, leaky] = await measureMethods(cache, [base, { ...base, leaky: true }], 4, 3)
    expect(leaky.scores.map(({ nll }) => nll)).not.toEqual(plain.scores.map(({ nll }) => nll))
    await cache.dispose()
  })
})

describe('expected scores', () => {
  test('are means over samples, extend those of fewer samples, and do not depend on the answer', async () => {
    const cache = await openCache()
    const [window] = cache.windows('evaluate', 1, 0)
    const changed = { ...window, tokens: window.tokens.slice().fill(5, window.promptLength) }
    const expected = (of: typeof window, count: number): number[] => [
      ...expectedScores(model, of, 'plainact', 9)(count).neurons,
    ]
    const [one, two] = [expected(window, 1), expected(window, 2)]
    expect(expected(changed, 2)).toEqual(two)
    expect(two).not.toEqual(one)
    const both = expectedScores(model, window, 'plainact', 9)
    expect([...both(1).neurons]).toEqual(one)
    expect([...both(2).neurons]).toEqual(two)
    await cache.dispose()
  })
})

test('windows longer than the context are refused by name', async () => {
  await expect(openCache({ prompt: 30 })).rejects.toThrow('window: expected at most 32 tokens, got 40')
  const cache = await openCache({ documents: documents.map((one) => ({ ...one, text: 'short' })) })
  expect(() => cache.windows('evaluate', 1, 0)).toThrow('text: expected documents of 22 tokens or more')
})
