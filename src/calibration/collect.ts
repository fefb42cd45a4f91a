/**
 * Calibrates into a folder, example by example, and is resumable: after ctrl-C, a crash or a power cut the same call
 * continues where it stopped, and the folder ends with the same bytes as after an uninterrupted run.
 *
 * Each example is written to a file as soon as it is computed; once all examples of a part are there, one file replaces
 * theirs. Files are written atomically and carry a checksum (calibration_files.ts). On start the manifest must equal that of this
 * call; valid files are kept, and the rest is computed. An example depends only on its index.
 *
 * Criteria of a whole data set have no partial result. If they are requested and `dataset.safetensors` is missing, every
 * window runs again, in order, for these criteria alone; the files of examples do not change.
 */
import {
  criterionByName,
  datasetCriteria,
  type Criterion,
  type DatasetCriterion,
  type DatasetScores,
} from '../criteria/index.ts'
import { safetensorsSize } from '../io/safetensors_writer.ts'
import type { JobRunner } from '../jobs/runner.ts'
import { threadRunner } from '../jobs/thread_runner.ts'
import type { UnitMask } from '../masks/mask.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { now, type ThreadCode } from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import { pause } from '../platform/pause.ts'
import { methodHash, type MethodHash } from '../results/method_hash.ts'
import { calibrateJobs } from './calibrate_job.ts'
import type { JobModel } from '../jobs/job_model.ts'
import { defaultThreads, type ThreadModel, type ThreadStart } from '../jobs/model_threads.ts'
import type { Window } from '../data/windows.ts'
import {
  calibrationCost,
  type CollectTimes,
  windowsToMeasure,
  type CalibrationCost,
} from '../cost/calibration_cost.ts'
import { collectExample, takeWindows, type CalibrationSource, type GroupedExample } from './examples.ts'
import { CalibrationFolder } from './folder.ts'
import {
  hashMask,
  hashWindows,
  storeManifest,
  type CalibrationManifest,
  type NamedFormula,
  type StoredManifest,
} from './manifest.ts'
import {
  datasetForms,
  exampleForms,
  parseExamples,
  partCount,
  calibrationMetadata,
  partRange,
  type Range,
} from './calibration_files.ts'
import { featureWidths } from '../engine/config.ts'

/** Options of a calibration. */
export interface CalibrateOptions {
  readonly model: LanguageModel
  /** SHA-256 of the model's files. */
  readonly modelHash: string
  readonly source: CalibrationSource
  /** The number of windows; fewer if the source has fewer. */
  readonly examples: number
  /** The output folder; created if it is missing. */
  readonly folder: string
  /** Names of criteria, of examples and of data sets. */
  readonly criteria: readonly string[]
  /** Default: 0. */
  readonly seed?: number
  /** Every pass runs under this mask, so that scores are those of a pruned model. Default: none. */
  readonly mask?: UnitMask | null
  /** Whether to keep the layer-0 features of every prompt token. Default: no. */
  readonly keepSequence?: boolean
  /** Examples per file; default: as many as fit into 16 MiB, at most 64. */
  readonly shardExamples?: number
  /** The model for other threads; without it all runs in this thread. Default count: `defaultThreads`. */
  readonly threads?: ThreadModel & { readonly count?: number }
  /** A runner to use instead of threads; the caller closes it. */
  readonly runner?: JobRunner | null
  /** The hash of the sources that decide the numbers; default: those of this program. */
  readonly method?: MethodHash
  /** Called with the planned output before the first window runs. */
  readonly onPlan?: (plan: CalibrationPlan) => void | Promise<void>
}

/** The planned output of a calibration. */
export interface CalibrationPlan {
  readonly manifest: CalibrationManifest
  /** Files of examples. */
  readonly shards: number
  /** Total size of the files of the finished calibration. */
  readonly bytes: number
  /** Examples that exist already. */
  readonly kept: number
}

/** The progress of a calibration. */
export interface CalibrateProgress {
  readonly stage: 'check' | 'calibrate'
  readonly done: number
  readonly total: number
}

/** The result of a calibration. */
export interface CalibrationReport extends CalibrationPlan {
  /** Examples computed now. */
  readonly computed: number
  /** Damaged files that were computed again. */
  readonly damaged: readonly string[]
  readonly cost: CalibrationCost
  readonly seconds: number
}

/**
 * Calibrates into a folder, or completes a calibration there.
 * @throws UsageError CRITERION_NAME, CRITERIA for no or repeated criteria, WINDOWS, CONTEXT_LENGTH, OUTPUT for a folder
 *   with other files; InputError CALIBRATION_DIFFERS for another calibration, CALIBRATION_FORMAT for an invalid manifest;
 *   the signal's reason, finished examples are kept; the system's own error if a file cannot be written
 */
export async function calibrateToFolder(
  options: CalibrateOptions,
  onProgress: (progress: CalibrateProgress) => void = () => {},
  signal?: AbortSignal,
): Promise<CalibrationReport> {
  const started = now()
  const prepared = await prepare(options)
  const folder = await CalibrationFolder.open(options.folder, prepared.stored, prepared.windows)
  await folder.scan((done, total) => onProgress({ stage: 'check', done, total }), signal)
  const plan = planOf(prepared, folder.kept.size)
  await options.onPlan?.(plan)
  const times = await run(prepared, folder, onProgress, signal)
  const { windows, criteria, sets, model } = prepared
  const lengths = windows.map(({ tokens }) => tokens.length)
  return {
    ...plan,
    computed: windows.length - plan.kept,
    damaged: folder.damaged,
    cost: calibrationCost(model.config, lengths, [...criteria, ...sets], times),
    seconds: (now() - started) / 1000,
  }
}

/** Computes the missing examples, in order. @returns the times of the first windows */
async function run(
  prepared: Prepared,
  folder: CalibrationFolder,
  onProgress: (progress: CalibrateProgress) => void,
  signal?: AbortSignal,
): Promise<CollectTimes[]> {
  const { stored, windows, sets, model } = prepared
  const dataset = new Map<string, DatasetScores>()
  if (!folder.hasDataset)
    for (const set of sets) dataset.set(set.name, set.begin(model.shape, stored.manifest.seed))
  const todo = [...windows.keys()].filter((index) => dataset.size > 0 || !folder.kept.has(index))
  const times: CollectTimes[] = []
  let done = 0
  onProgress({ stage: 'calibrate', done, total: todo.length })
  for await (const { example, times: own } of produce(prepared, folder.kept, todo, dataset, signal)) {
    if (own) times.push(own)
    if (!folder.kept.has(example.index)) await folder.add(example)
    onProgress({ stage: 'calibrate', done: ++done, total: todo.length })
  }
  if (dataset.size > 0)
    await folder.addDataset(new Map([...dataset].map(([name, set]) => [name, set.finish()])))
  return times
}

/** An example, and the times of its parts if they were measured. */
interface Collected {
  readonly example: GroupedExample
  readonly times?: CollectTimes
}

/** Examples to run; for criteria of a data set all of them, in order. */
async function* produce(
  prepared: Prepared,
  kept: ReadonlySet<number>,
  todo: readonly number[],
  dataset: ReadonlyMap<string, DatasetScores>,
  signal?: AbortSignal,
): AsyncGenerator<Collected, void, void> {
  const measured = new Set(todo.filter((index) => !kept.has(index)).slice(0, windowsToMeasure))
  const { model, windows, criteria, stored, mask } = prepared
  const { seed, keepSequence } = stored.manifest
  const here = (index: number): Collected => {
    const times: CollectTimes | undefined = measured.has(index) ? new Map() : undefined
    const options = { index, seed, keepSequence, mask, dataset, times }
    return { example: collectExample(model, windows[index], kept.has(index) ? [] : criteria, options), times }
  }
  const runner = dataset.size > 0 ? null : runnerOf(prepared, todo.length)
  if (!runner) {
    for (const index of todo) {
      await pause(signal)
      yield here(index)
    }
    return
  }
  const others = todo.filter((index) => !measured.has(index))
  const rest = collectDistributed(prepared, runner, others, signal)
  try {
    // The other threads start while this thread measures the cost.
    const first = rest.next()
    first.catch(() => {})
    for (const index of measured) {
      await pause(signal)
      yield here(index)
    }
    for (let next = await first; !next.done; next = await rest.next()) yield { example: next.value }
  } finally {
    if (runner !== prepared.runner) await runner.close()
    await rest.return().catch(() => {})
  }
}

/** The runner that collects instead of this thread; null for none. */
function runnerOf({ runner, threads, model, jobModel }: Prepared, examples: number): JobRunner | null {
  if (runner || !threads) return runner
  const { count = defaultThreads(model.config, examples), ...place } = threads
  const { hash, method } = jobModel
  const useful = Math.min(count, examples)
  if (useful <= 1) return null
  const code: ThreadCode = (Worker) =>
    new Worker(new URL('./calibrate_thread.ts', import.meta.url), { type: 'module' })
  return threadRunner({ code, start: { ...place, hash, method } satisfies ThreadStart }, useful)
}

/**
 * Examples from jobs. Their ranges are the same in every run, so that a resumed run requests the same jobs, whose
 * results may be stored already.
 */
async function* collectDistributed(
  { stored, windows, mask, jobModel }: Prepared,
  runner: JobRunner,
  todo: readonly number[],
  signal?: AbortSignal,
): AsyncGenerator<GroupedExample, void, void> {
  const size = runner.examplesPerJob
  const asked = new Set(todo)
  const ranges = [...new Set(todo.map((index) => Math.floor(index / size)))].map((place): Range => {
    return { first: place * size, end: Math.min(windows.length, (place + 1) * size) }
  })
  const calibration = { stored, windows, mask }
  const jobs = await calibrateJobs(calibration, ranges, jobModel, runner.store)
  let next = 0
  for await (const result of runner.run(jobs, { signal }))
    for (const example of await parseExamples(result, stored, ranges[next++]))
      if (asked.has(example.index)) yield example
}

/** A prepared calibration. */
interface Prepared {
  readonly model: LanguageModel
  readonly jobModel: JobModel
  readonly threads: CalibrateOptions['threads']
  readonly runner: JobRunner | null
  readonly stored: StoredManifest
  readonly windows: readonly Window[]
  readonly criteria: readonly Criterion[]
  readonly sets: readonly DatasetCriterion[]
  readonly mask: UnitMask | null
}

async function prepare(options: CalibrateOptions): Promise<Prepared> {
  const { model, modelHash, source, seed = 0, keepSequence = false, mask = null } = options
  const { criteria, sets } = splitCriteria(options.criteria)
  const windows = await takeWindows(source, options.examples)
  for (const { tokens } of windows) model.checkTokens(tokens, 0)
  const named = ({ name, formula }: NamedFormula): NamedFormula => ({ name, formula })
  const manifest: CalibrationManifest = {
    model: { hash: modelHash, ...model.shape, ...featureWidths(model.config) },
    data: {
      name: source.name,
      hash: await hashWindows(windows),
      windows: windows.length,
      groups: [...new Set(windows.map(({ genre }) => genre))],
    },
    criteria: criteria.map(named),
    datasetCriteria: sets.map(named),
    seed,
    keepSequence,
    mask: mask && (await hashMask(mask)),
    shardExamples: 1,
  }
  const longest = windows.reduce((length, { promptLength }) => Math.max(length, promptLength), 0)
  const shardExamples = options.shardExamples ?? defaultFileExamples(manifest, longest)
  return {
    model,
    jobModel: { model, hash: modelHash, method: options.method ?? (await methodHash()) },
    threads: options.threads,
    runner: options.runner ?? null,
    stored: await storeManifest({ ...manifest, shardExamples }),
    windows,
    criteria,
    sets,
    mask,
  }
}

/** Criteria by kind. */
function splitCriteria(names: readonly string[]): { criteria: Criterion[]; sets: DatasetCriterion[] } {
  const sets = datasetCriteria.filter(({ name }) => names.includes(name))
  const criteria = names.filter((name) => !sets.some((set) => set.name === name)).map(criterionByName)
  if (names.length > 0 && new Set(names).size === names.length) return { criteria, sets }
  const got = names.length === 0 ? 'none' : names.join(', ')
  throw new UsageError('CRITERIA', `criteria: expected one or more different criteria, got ${got}`)
}

function defaultFileExamples(manifest: CalibrationManifest, promptLength: number): number {
  const bytes = safetensorsSize(exampleForms(manifest, [promptLength]))
  return Math.max(1, Math.min(64, Math.floor(2 ** 24 / bytes)))
}

/** The exact size of the finished folder, in bytes. */
function planOf({ stored, windows }: Prepared, kept: number): CalibrationPlan {
  const { manifest, text, identity } = stored
  const metadata = calibrationMetadata(identity, '0'.repeat(64))
  let bytes = new TextEncoder().encode(text).length
  const shards = partCount(manifest)
  for (let part = 0; part < shards; part++) {
    const { first, end } = partRange(manifest, part)
    const lengths = windows.slice(first, end).map(({ promptLength }) => promptLength)
    bytes += safetensorsSize(exampleForms(manifest, lengths), metadata)
  }
  if (manifest.datasetCriteria.length > 0) bytes += safetensorsSize(datasetForms(manifest), metadata)
  return { manifest, shards, bytes, kept }
}
