/**
 * Methods on the windows of an experiment: what each continuation costs under the mask each method decides from the prompt.
 *
 * Windows are scored in batches, and a batch counts once every method has scored it; so every report compares
 * methods on the same windows, also that of a stopped run. A batch under a method is one part of the store. Jobs compute what
 * is not in the store yet: each scores windows under all methods that lack them, so that what methods have in common is
 * computed once. Where there is a runner, a job has a few windows of a batch; the numbers are the same.
 */
import { Random } from '../../tensor/random.ts'
import { hashWindows } from '../../calibration/manifest.ts'
import { listWindows } from '../../results/measured_run.ts'
import type { PartDescription } from '../../results/part_store.ts'
import type { Window } from '../../data/windows.ts'
import { measureDecode, type DecodeSizes } from '../../evaluation/decode.ts'
import { evaluateJobs, type EvaluateJob } from '../../evaluation/jobs/evaluate_job.ts'
import type { Method } from '../../results/method.ts'
import { WindowPlanner, type EvaluatedText, type MethodScore } from '../../evaluation/window_evaluator.ts'
import type { ExperimentCache } from './experiment_cache.ts'

/** A method and its windows, in the order of the windows. */
export interface MeasuredMethod {
  readonly method: Method
  readonly scores: readonly MethodScore[]
}

/** Windows of one part of the store. */
const STORED_WINDOWS = 8

/** Windows in a job. */
const JOB_WINDOWS = 2

/** Windows, and the seed of each one's random mask. */
interface SeededWindows {
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

/** The description under which the store keeps a batch's scores under a method. */
export async function describeBatch(
  cache: ExperimentCache,
  { windows, seeds }: SeededWindows,
  method: Method,
  seed: number,
  compared = false,
): Promise<PartDescription> {
  const calibrated = method.examples ? await cache.examplesHash(method.examples, seed) : null
  return {
    ...cache.identity('scores'),
    windows: await hashWindows(windows),
    method,
    seed: calibrated ? seed : null,
    calibrated,
    seeds: method.planner === 'random' ? seeds : null,
    given: await cache.givenHash(method),
    compared,
  }
}

/** A batch, and the jobs that compute what the store lacks. */
interface OpenBatch {
  /** The description of each method's scores in the store. */
  readonly descriptions: readonly PartDescription[]
  /** What is known under each method; empty for methods that the jobs score. */
  readonly scores: MethodScore[][][]
  /** The indices of those methods. */
  readonly lacking: readonly number[]
  readonly jobs: readonly EvaluateJob[]
}

/** What else is measured, and a listener. */
interface MeasureOptions {
  /** Whether scores are compared with dense: KL and agreement. */
  readonly compared?: boolean
  /** Called with what is finished. */
  readonly onBatch?: (measured: readonly MeasuredMethod[]) => void
}

/**
 * Scores every method on the first `count` evaluation windows of a seed.
 * @throws the signal's reason, or as the runner; what was finished is kept in `onBatch` and in the store
 */
export async function measureMethods(
  cache: ExperimentCache,
  methods: readonly Method[],
  count: number,
  seed: number,
  { compared = false, onBatch }: MeasureOptions = {},
): Promise<MeasuredMethod[]> {
  const { store, runner, signal } = cache.options
  const windows = cache.windows('evaluate', count, seed)
  const open: OpenBatch[] = []
  for (const batch of batchWindows(windows, STORED_WINDOWS, seed))
    open.push(await openBatch(cache, batch, methods, seed, compared))
  const jobs = open.flatMap((batch) => batch.jobs)
  const total = methods.length * windows.length
  const known = total - jobs.reduce((sum, job) => sum + job.methods.length * job.texts.length, 0)
  const onScore = (done: number): void => cache.tell('evaluate', known + done, total)
  const options = { inputsOf: (method: Method) => cache.inputs(method, seed), compared, signal, onScore }
  const rows = evaluateJobs(cache.model, jobs, options, runner ? { runner, model: cache.jobModel } : null)
  const found: MethodScore[][] = methods.map(() => [])
  const measured = (): MeasuredMethod[] => methods.map((method, i) => ({ method, scores: found[i] }))
  try {
    for (const { descriptions, scores, lacking, jobs: own } of open) {
      for (const job of own)
        for (const i of lacking) {
          const { value } = await rows.next()
          for (const one of value as MethodScore[][]) scores[i].push(one)
          if (job === own.at(-1)) await store.json(descriptions[i], () => scores[i])
        }
      for (const [i, all] of scores.entries())
        for (const one of all.flat()) found[i].push({ ...one, document: windows[found[i].length].document })
      onBatch?.(measured())
    }
    // The runner says at its end what failed.
    await rows.next()
  } finally {
    await rows.return()
  }
  cache.tell('evaluate', total, total)
  const all = measured()
  await record(cache, windows, seed, all)
  return all
}

/** Hands over what was measured, for whoever keeps it. */
async function record(
  cache: ExperimentCache,
  windows: readonly Window[],
  seed: number,
  measured: readonly MeasuredMethod[],
): Promise<void> {
  const { onMeasured, prompt: room, continuation } = cache.options
  if (!onMeasured) return
  const methods = []
  for (const { method, scores } of measured)
    methods.push(listWindows(method, await cache.givenHash(method), scores))
  const named = windows.map(({ document, tokens, promptLength: prompt, words }) => ({
    document,
    prompt,
    tokens: tokens.length - prompt,
    words,
  }))
  onMeasured({ seed, prompt: room, continuation, windows: named, methods })
}

async function openBatch(
  cache: ExperimentCache,
  batch: SeededWindows,
  methods: readonly Method[],
  seed: number,
  compared: boolean,
): Promise<OpenBatch> {
  const { store, runner } = cache.options
  await cache.pause()
  const descriptions: PartDescription[] = []
  const scores: MethodScore[][][] = []
  const lacking: number[] = []
  for (const [i, method] of methods.entries()) {
    descriptions.push(await describeBatch(cache, batch, method, seed, compared))
    const stored = await store.stored<MethodScore[][]>(descriptions[i])
    scores.push(stored ?? [])
    if (!stored) lacking.push(i)
  }
  const own = lacking.map((i) => methods[i])
  const parts = runner ? cut(batch, JOB_WINDOWS) : [batch]
  const jobs = own.length > 0 ? parts.map((part) => ({ methods: own, texts: textsOf(part) })) : []
  return { descriptions, scores, lacking, jobs }
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
): Promise<number[][]> {
  const [window] = cache.windows('evaluate', count, seed)
  const text = new WindowPlanner(cache.model, window, seed)
  const planners = []
  // Under the clock each planner runs passes of its own.
  for (const method of methods) planners.push(text.plan(method, await cache.inputs(method, seed), true))
  const prompt = window.tokens.slice(0, sizes.prompt)
  const onTurn = (done: number, total: number): void => cache.tell('decode', done, total)
  return measureDecode(cache.model, prompt, planners, sizes, onTurn, cache.options.signal)
}
