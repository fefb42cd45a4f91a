/**
 * Calibration into a folder, example by example, so that nothing has to be computed twice: after ctrl-C, a crash or a
 * power cut the same call goes on where it stopped, and ends with the same bytes as if nothing had happened.
 *
 * Each example is a file as soon as it is known; a shard takes the place of its examples' files once all are there.
 * Files appear whole or not at all, and vouch for themselves (shards.ts). On start the manifest must be the one of this
 * call, what is valid is kept, and the rest is computed: examples depend on nothing but their place.
 *
 * Criteria of a whole data set cannot be kept in part. Where they are asked for and `dataset.safetensors` is not there
 * yet, every window runs once more, in order, for them alone; the files of examples stay as they are.
 */
import {
  criterionByName,
  datasetCriteria,
  type Criterion,
  type DatasetCriterion,
  type DatasetScores,
} from '../../criteria/index.ts'
import { safetensorsSize } from '../../io/safetensors_writer.ts'
import type { UnitMask } from '../../masks/mask.ts'
import type { OptModel } from '../../model/opt/opt_model.ts'
import { now } from '../../platform/platform.ts'
import { UsageError } from '../../tensor/errors.ts'
import { pause } from '../../train/pause.ts'
import type { Window } from '../windows.ts'
import { calibrationCost, windowsToMeasure, type CalibrationCost } from './cost.ts'
import { takeWindows, type CalibrationSource, type CollectTimes } from './examples.ts'
import { CalibrationFolder } from './folder.ts'
import {
  hashMask,
  hashWindows,
  storeManifest,
  type CalibrationManifest,
  type StoredManifest,
} from './manifest.ts'
import {
  collectInThreads,
  collectTask,
  usualThreads,
  type Collected,
  type CollectTask,
  type ThreadModel,
} from './pool.ts'
import { datasetForms, exampleForms, shardCount, shardMetadata, shardRange } from './shards.ts'

/** What is calibrated, and where to. */
export interface CalibrateOptions {
  readonly model: OptModel
  /** SHA-256 of the model's files. */
  readonly modelHash: string
  readonly source: CalibrationSource
  /** How many windows of the source; fewer where it has fewer. */
  readonly examples: number
  /** Made where there is none. */
  readonly folder: string
  /** Names of criteria, of examples and of data sets. */
  readonly criteria: readonly string[]
  /** Default: 0. */
  readonly seed?: number
  /** Every pass runs under this mask, so that scores are those of a pruned model. Default: none. */
  readonly mask?: UnitMask | null
  /** Also keep what layer 0 shows of every prompt token. Default: no. */
  readonly keepSequence?: boolean
  /** Examples in a shard; default: as many as fit into 16 MiB, 64 at most. */
  readonly shardExamples?: number
  /** Where other threads find the same model; without it all runs in this one. Default count: `usualThreads`. */
  readonly threads?: ThreadModel & { readonly count?: number }
  /** Told what will be written, before the first window runs. */
  readonly onPlan?: (plan: CalibrationPlan) => void | Promise<void>
}

/** What a calibration will write. */
export interface CalibrationPlan {
  readonly manifest: CalibrationManifest
  readonly shards: number
  /** Of all files of the finished calibration. */
  readonly bytes: number
  /** Examples that are there already. */
  readonly kept: number
}

/** How far a calibration is. */
export interface CalibrateProgress {
  readonly stage: 'check' | 'calibrate'
  readonly done: number
  readonly total: number
}

/** What a calibration did. */
export interface CalibrationReport extends CalibrationPlan {
  /** Examples computed now. */
  readonly computed: number
  /** Files that were not what was written, and were made again. */
  readonly damaged: readonly string[]
  readonly cost: CalibrationCost
  readonly seconds: number
}

/**
 * Calibrates into a folder, or completes what stands there.
 * @throws UsageError CRITERION_NAME, CRITERIA for none or one twice, WINDOWS, CONTEXT_LENGTH, OUTPUT for a folder with
 *   other things in it; InputError CALIBRATION_DIFFERS for another calibration, CALIBRATION_FORMAT for what is none; the
 *   signal's reason, with all that was finished kept; the system's own error where a file cannot be written
 */
export async function calibrateToFolder(
  options: CalibrateOptions,
  onProgress: (progress: CalibrateProgress) => void = () => {},
  signal?: AbortSignal,
): Promise<CalibrationReport> {
  const started = now()
  const job = await prepare(options)
  const folder = await CalibrationFolder.open(options.folder, job.stored, job.windows)
  await folder.scan((done, total) => onProgress({ stage: 'check', done, total }), signal)
  const plan = planOf(job, folder.kept.size)
  await options.onPlan?.(plan)
  const times = await run(job, folder, onProgress, signal)
  const { windows, criteria, sets, model } = job
  const lengths = windows.map(({ tokens }) => tokens.length)
  return {
    ...plan,
    computed: windows.length - plan.kept,
    damaged: folder.damaged,
    cost: calibrationCost(model.config, lengths, [...criteria, ...sets], times),
    seconds: (now() - started) / 1000,
  }
}

/** Computes what is missing, in order; returns what the first windows took. */
async function run(
  job: Job,
  folder: CalibrationFolder,
  onProgress: (progress: CalibrateProgress) => void,
  signal?: AbortSignal,
): Promise<CollectTimes[]> {
  const { stored, windows, sets, model } = job
  const dataset = new Map<string, DatasetScores>()
  if (!folder.hasDataset)
    for (const set of sets) dataset.set(set.name, set.begin(model.shape, stored.manifest.seed))
  const todo = [...windows.keys()].filter((index) => dataset.size > 0 || !folder.kept.has(index))
  const times: CollectTimes[] = []
  let done = 0
  onProgress({ stage: 'calibrate', done, total: todo.length })
  for await (const { example, times: own } of produce(job, tasksOf(job, folder, todo), dataset, signal)) {
    if (own) times.push(own)
    if (!folder.kept.has(example.index)) await folder.add(example)
    onProgress({ stage: 'calibrate', done: ++done, total: todo.length })
  }
  if (dataset.size > 0)
    await folder.addDataset(new Map([...dataset].map(([name, set]) => [name, set.finish()])))
  return times
}

/** What has to run; examples that are kept run for the data set's sake only. */
function tasksOf(
  { windows, criteria, stored, mask }: Job,
  { kept }: CalibrationFolder,
  todo: readonly number[],
): CollectTask[] {
  const { seed, keepSequence } = stored.manifest
  const names = criteria.map(({ name }) => name)
  let measured = 0
  return todo.map((index) => {
    const isNew = !kept.has(index)
    const isMeasured = isNew && measured++ < windowsToMeasure
    const window = windows[index]
    return { index, window, criteria: isNew ? names : [], seed, keepSequence, mask, isMeasured }
  })
}

/** The examples of tasks, in order: from threads, or from this one, where a data set takes them in as well. */
async function* produce(
  { threads, model }: Job,
  tasks: readonly CollectTask[],
  dataset: ReadonlyMap<string, DatasetScores>,
  signal?: AbortSignal,
): AsyncGenerator<Collected, void, void> {
  const count = Math.min(threads?.count ?? usualThreads(model.config, tasks.length), tasks.length)
  if (threads && count > 1 && dataset.size === 0) {
    yield* collectInThreads(tasks, count, threads, signal)
    return
  }
  for (const task of tasks) {
    await pause(signal)
    yield collectTask(model, task, dataset)
  }
}

/** A calibration that is about to begin. */
interface Job {
  readonly model: OptModel
  readonly threads: CalibrateOptions['threads']
  readonly stored: StoredManifest
  readonly windows: readonly Window[]
  readonly criteria: readonly Criterion[]
  readonly sets: readonly DatasetCriterion[]
  readonly mask: UnitMask | null
}

async function prepare(options: CalibrateOptions): Promise<Job> {
  const { model, modelHash, source, seed = 0, keepSequence = false, mask = null } = options
  const { criteria, sets } = splitCriteria(options.criteria)
  const windows = await takeWindows(source, options.examples)
  for (const { tokens } of windows) model.checkTokens(tokens, 0)
  const named = ({ name, formula }: Criterion | DatasetCriterion): { name: string; formula: string } => ({
    name,
    formula,
  })
  const manifest: CalibrationManifest = {
    model: { hash: modelHash, ...model.shape, width: model.config.width },
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
  const shardExamples = options.shardExamples ?? usualShard(manifest, longest)
  return {
    model,
    threads: options.threads,
    stored: await storeManifest({ ...manifest, shardExamples }),
    windows,
    criteria,
    sets,
    mask,
  }
}

/** Names told apart. */
function splitCriteria(names: readonly string[]): { criteria: Criterion[]; sets: DatasetCriterion[] } {
  const sets = datasetCriteria.filter(({ name }) => names.includes(name))
  const criteria = names.filter((name) => !sets.some((set) => set.name === name)).map(criterionByName)
  if (names.length > 0 && new Set(names).size === names.length) return { criteria, sets }
  const got = names.length === 0 ? 'none' : names.join(', ')
  throw new UsageError('CRITERIA', `criteria: expected at least one, and none twice, got ${got}`)
}

function usualShard(manifest: CalibrationManifest, promptLength: number): number {
  const bytes = safetensorsSize(exampleForms(manifest, [promptLength]))
  return Math.max(1, Math.min(64, Math.floor(2 ** 24 / bytes)))
}

/** What will stand in the folder at the end, to the byte. */
function planOf({ stored, windows }: Job, kept: number): CalibrationPlan {
  const { manifest, text, identity } = stored
  const metadata = shardMetadata(identity, '0'.repeat(64))
  let bytes = new TextEncoder().encode(text).length
  const shards = shardCount(manifest)
  for (let shard = 0; shard < shards; shard++) {
    const { first, end } = shardRange(manifest, shard)
    const lengths = windows.slice(first, end).map(({ promptLength }) => promptLength)
    bytes += safetensorsSize(exampleForms(manifest, lengths), metadata)
  }
  if (manifest.datasetCriteria.length > 0) bytes += safetensorsSize(datasetForms(manifest), metadata)
  return { manifest, shards, bytes, kept }
}
