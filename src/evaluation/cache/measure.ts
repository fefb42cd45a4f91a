/**
 * Methods on the windows of an experiment: what each continuation costs under the mask each method decides from the prompt.
 *
 * Windows are scored in batches, and a batch counts once every method has scored it; so whatever is reported compares
 * methods on the same windows, a stopped run included. A batch under a method is one part of the store. Where there is a
 * runner of jobs, those bring what is not in the store yet, a few windows under all methods that lack them in each, so
 * that what methods have in common is computed once there too; the numbers are the same.
 */
import { Random } from '../../tensor/random.ts'
import { hashWindows } from '../../calibration/manifest.ts'
import type { JobRunner } from '../../jobs/runner.ts'
import type { PartDescription } from '../../results/part_store.ts'
import type { Window } from '../../data/windows.ts'
import { measureDecode, type DecodeSizes } from '../decode.ts'
import { evaluate } from '../evaluate.ts'
import { evaluateDistributed, type EvaluateJob } from '../jobs/evaluate_job.ts'
import type { Method, MethodInputs } from '../../results/method.ts'
import { WindowPlanner, type EvaluatedText, type MethodScore } from '../window_evaluator.ts'
import type { ExperimentCache } from './experiment_cache.ts'

/** A method and its windows, in the order of the windows. */
export interface MeasuredMethod {
  readonly method: Method
  readonly scores: readonly MethodScore[]
}

/** Windows of one part of the store. Without a store nothing is kept, and every window is a batch. */
const STORED_WINDOWS = 8

/** Windows in a job. */
const SHARD_WINDOWS = 2

/** Windows, and the seed of each one's random mask. */
export interface SeededWindows {
  readonly windows: readonly Window[]
  readonly seeds: readonly number[]
}

/** Windows in batches of a size, each with the seed of its random mask. */
export function batchWindows(windows: readonly Window[], size: number, seed: number): SeededWindows[] {
  const random = new Random(seed)
  const seeds = windows.map(() => random.uint32())
  return cut({ windows, seeds }, size)
}

function cut({ windows, seeds }: SeededWindows, size: number): SeededWindows[] {
  return Array.from({ length: Math.ceil(windows.length / size) }, (_, i) => {
    const [start, end] = [i * size, (i + 1) * size]
    return { windows: windows.slice(start, end), seeds: seeds.slice(start, end) }
  })
}

function textsOf({ windows, seeds }: SeededWindows): EvaluatedText[] {
  return windows.map((window, i) => ({ windows: [window], seed: seeds[i] }))
}

/** What a batch's scores under a method are kept by. */
export async function describeBatch(
  cache: ExperimentCache,
  { windows, seeds }: SeededWindows,
  method: Method,
  seed: number,
): Promise<PartDescription> {
  const calibrated = method.examples ? await cache.examplesHash(method.examples, seed) : null
  return {
    ...cache.identity('scores'),
    windows: await hashWindows(windows),
    method,
    seed: calibrated ? seed : null,
    calibrated,
    seeds: method.planner === 'random' ? seeds : null,
  }
}

/** What is measured. */
interface Measuring {
  readonly methods: readonly Method[]
  readonly batches: readonly SeededWindows[]
  readonly seed: number
  /** Windows scored so far, under all methods together. */
  readonly onScore: (done: number) => void
}

/**
 * Scores every method on the first `count` evaluation windows of a seed.
 * @throws the signal's reason; what was finished is kept in `onBatch` and in the store
 */
export async function measureMethods(
  cache: ExperimentCache,
  methods: readonly Method[],
  count: number,
  seed: number,
  onBatch: (measured: readonly MeasuredMethod[]) => void = () => {},
): Promise<MeasuredMethod[]> {
  const windows = cache.windows('evaluate', count, seed)
  const { store, runner } = cache.options
  const batches = batchWindows(windows, store || runner ? STORED_WINDOWS : 1, seed)
  const total = methods.length * windows.length
  const onScore = (done: number): void => cache.tell('evaluate', done, total)
  const measuring = { methods, batches, seed, onScore }
  const found: MethodScore[][] = methods.map(() => [])
  const measured = (): MeasuredMethod[] => methods.map((method, i) => ({ method, scores: found[i] }))
  for await (const batch of runner
    ? measureDistributed(cache, runner, measuring)
    : measureHere(cache, measuring)) {
    batch.forEach((scores, i) => found[i].push(...scores))
    onBatch(measured())
  }
  onScore(total)
  return measured()
}

/**
 * Decoded tokens per second of every method, after the prompt of the first of `count` evaluation windows.
 * @throws the signal's reason
 */
export async function measureSpeeds(
  cache: ExperimentCache,
  methods: readonly Method[],
  sizes: DecodeSizes,
  count: number,
  seed: number,
): Promise<number[]> {
  const [window] = cache.windows('evaluate', count, seed)
  const text = new WindowPlanner(cache.model, window, seed)
  const planners = []
  // Under the clock each planner runs passes of its own.
  for (const method of methods) planners.push(text.plan(method, await cache.inputs(method, seed), true))
  const prompt = window.tokens.slice(0, sizes.prompt)
  const onTurn = (done: number, total: number): void => cache.tell('decode', done, total)
  return measureDecode(cache.model, prompt, planners, sizes, onTurn, cache.options.signal)
}

/** Each batch's scores under every method, in order. @throws the signal's reason */
async function* measureHere(
  cache: ExperimentCache,
  { methods, batches, seed, onScore }: Measuring,
): AsyncGenerator<MethodScore[][], void, void> {
  const { store, signal } = cache.options
  let before = 0
  for (const batch of batches) {
    const texts = textsOf(batch)
    const rows: MethodScore[][] = []
    for await (const scores of evaluate(cache.model, methods, texts, {
      inputsOf: (method) => cache.inputs(method, seed),
      onScore: (done) => onScore(before + done),
      signal,
      keep: async (method, score) =>
        store ? store.json(await describeBatch(cache, batch, method, seed), score) : score(),
    }))
      rows.push(scores.flat())
    before += methods.length * texts.length
    yield rows
  }
}

/** A batch, the methods that lack it, and the jobs that bring them. */
interface OpenBatch {
  readonly batch: SeededWindows
  readonly descriptions: readonly PartDescription[]
  /** What is known under each method; null for those that jobs bring. */
  readonly known: readonly (MethodScore[][] | null)[]
  readonly lacking: readonly number[]
  readonly jobs: readonly EvaluateJob[]
}

/** Each batch's scores under every method, in order. @throws as the runner */
async function* measureDistributed(
  cache: ExperimentCache,
  runner: JobRunner,
  { methods, batches, seed, onScore }: Measuring,
): AsyncGenerator<MethodScore[][], void, void> {
  const { store, signal } = cache.options
  const inputs = new Map<Method, MethodInputs>()
  const open: OpenBatch[] = []
  for (const batch of batches) {
    const one = await openBatch(cache, batch, methods, seed)
    for (const i of one.lacking)
      if (!inputs.has(methods[i])) inputs.set(methods[i], await cache.inputs(methods[i], seed))
    open.push(one)
  }
  const total = methods.length * batches.reduce((sum, { windows }) => sum + windows.length, 0)
  const asked = open.reduce((sum, { batch, lacking }) => sum + batch.windows.length * lacking.length, 0)
  const onDone = (done: number, all: number): void =>
    onScore(total - asked + Math.round((asked * done) / all))
  const results = evaluateDistributed(
    open.flatMap(({ jobs }) => jobs),
    { model: cache.jobModel, inputsOf: (method) => inputs.get(method) ?? {} },
    runner,
    { signal, onDone },
  )
  try {
    for (const { descriptions, known, lacking, jobs } of open) {
      const scores = known.map((one) => one ?? [])
      for (const _ of jobs) {
        const { value } = await results.next()
        lacking.forEach((i, row) => scores[i].push(...(value as MethodScore[][][])[row]))
      }
      for (const i of lacking) await store?.json(descriptions[i], () => scores[i])
      yield scores.map((one) => one.flat())
    }
    // The runner has its own end: there it says what failed.
    await results.next()
  } finally {
    await results.return()
  }
}

async function openBatch(
  cache: ExperimentCache,
  batch: SeededWindows,
  methods: readonly Method[],
  seed: number,
): Promise<OpenBatch> {
  await cache.pause()
  const descriptions: PartDescription[] = []
  const known: (MethodScore[][] | null)[] = []
  for (const [i, method] of methods.entries()) {
    descriptions.push(await describeBatch(cache, batch, method, seed))
    known.push((await cache.options.store?.stored<MethodScore[][]>(descriptions[i])) ?? null)
  }
  const lacking = [...methods.keys()].filter((i) => known[i] === null)
  const own = lacking.map((i) => methods[i])
  const parts = own.length > 0 ? cut(batch, SHARD_WINDOWS) : []
  const jobs = parts.map((part) => ({ methods: own, texts: textsOf(part) }))
  return { batch, descriptions, known, lacking, jobs }
}
