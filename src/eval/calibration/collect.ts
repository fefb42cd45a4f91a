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
import type { OptModel } from '../../model/opt/opt_model.ts'
import {
  exists,
  joinPath,
  list,
  makeFolder,
  now,
  remove,
  removeAbandoned,
  writeFileAtomic,
} from '../../platform/platform.ts'
import { InputError, UsageError } from '../../tensor/errors.ts'
import { pause } from '../../train/pause.ts'
import type { Window } from '../windows.ts'
import { calibrationCost, windowsToMeasure, type CalibrationCost } from './cost.ts'
import {
  collectExample,
  takeWindows,
  type CalibrationSource,
  newTimes,
  type CollectTimes,
  type GroupedExample,
} from './examples.ts'
import {
  checkSame,
  hashWindows,
  manifestName,
  readManifest,
  storeManifest,
  type CalibrationManifest,
  type StoredManifest,
} from './manifest.ts'
import {
  datasetForms,
  datasetName,
  exampleForms,
  exampleName,
  readDataset,
  readExamples,
  shardCount,
  shardMetadata,
  shardName,
  shardRange,
  writeDataset,
  writeExamples,
  type Range,
} from './shards.ts'

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
  /** Also keep what layer 0 shows of every prompt token. Default: no. */
  readonly keepSequence?: boolean
  /** Examples in a shard; default: as many as fit into 16 MiB, 64 at most. */
  readonly shardExamples?: number
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
  await openFolder(job.folder, job.stored)
  const state = await scan(job, onProgress, signal)
  const plan = planOf(job, state.kept.size)
  await options.onPlan?.(plan)
  const times = await run(job, state, onProgress, signal)
  const { windows, criteria, sets, model } = job
  const lengths = windows.map(({ tokens }) => tokens.length)
  return {
    ...plan,
    computed: windows.length - plan.kept,
    damaged: state.damaged,
    cost: calibrationCost(model.config, lengths, [...criteria, ...sets], times),
    seconds: (now() - started) / 1000,
  }
}

/** Computes what is missing, in order; returns what the first windows took. */
async function run(
  job: Job,
  state: State,
  onProgress: (progress: CalibrateProgress) => void,
  signal?: AbortSignal,
): Promise<CollectTimes[]> {
  const { folder, stored, windows, criteria, sets, model } = job
  const { seed, keepSequence, shardExamples } = stored.manifest
  const dataset = new Map<string, DatasetScores>()
  if (!state.dataset) for (const set of sets) dataset.set(set.name, set.begin(model.shape, seed))
  for (let shard = 0; shard < shardCount(stored.manifest); shard++) await seal(job, state, shard)
  const todo = [...windows.keys()].filter((index) => dataset.size > 0 || !state.kept.has(index))
  const times: CollectTimes[] = []
  for (const [done, index] of todo.entries()) {
    onProgress({ stage: 'calibrate', done, total: todo.length })
    await pause(signal)
    const window = windows[index]
    const isKept = state.kept.has(index)
    const measured = isKept || times.length === windowsToMeasure ? undefined : newTimes()
    const options = { index, seed, keepSequence, dataset, times: measured }
    const example = collectExample(model, window, isKept ? [] : criteria, options)
    if (measured) times.push(measured)
    if (isKept) continue
    await writeExamples(joinPath(folder, exampleName(index)), stored, [example], [window.promptLength])
    state.kept.add(index)
    await seal(job, state, Math.floor(index / shardExamples))
  }
  if (dataset.size > 0) {
    const scores = new Map([...dataset].map(([name, set]) => [name, set.finish()]))
    await writeDataset(joinPath(folder, datasetName), stored, scores)
  }
  onProgress({ stage: 'calibrate', done: todo.length, total: todo.length })
  return times
}

/** A calibration that is about to begin. */
interface Job {
  readonly model: OptModel
  readonly folder: string
  readonly stored: StoredManifest
  readonly windows: readonly Window[]
  readonly criteria: readonly Criterion[]
  readonly sets: readonly DatasetCriterion[]
}

async function prepare(options: CalibrateOptions): Promise<Job> {
  const { model, modelHash, source, seed = 0, keepSequence = false } = options
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
    shardExamples: 1,
  }
  const longest = windows.reduce((length, { promptLength }) => Math.max(length, promptLength), 0)
  const shardExamples = options.shardExamples ?? usualShard(manifest, longest)
  return {
    model,
    folder: options.folder,
    stored: await storeManifest({ ...manifest, shardExamples }),
    windows,
    criteria,
    sets,
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

/**
 * Refuses a folder that holds other things than a calibration; one that is not there yet is none.
 * @throws UsageError OUTPUT
 */
export async function checkCalibrationFolder(folder: string): Promise<void> {
  if (!(await exists(folder)) || (await exists(joinPath(folder, manifestName)))) return
  // What is left half written of a manifest is no other thing.
  if ((await list(folder)).every((name) => name.endsWith('.tmp'))) return
  throw new UsageError(
    'OUTPUT',
    `${folder}: expected an empty folder or a calibration, got a folder with other files`,
  )
}

/** Makes the folder and its manifest, or sees that they are those of this calibration. */
async function openFolder(folder: string, stored: StoredManifest): Promise<void> {
  await checkCalibrationFolder(folder)
  await makeFolder(folder)
  await removeAbandoned(folder)
  const path = joinPath(folder, manifestName)
  if (await exists(path)) {
    const found = await readManifest(folder)
    checkSame(found.manifest, stored.manifest, path)
    if (found.identity === stored.identity) return
  }
  await writeFileAtomic(path, stored.text)
}

/** What stands in the folder. */
interface State {
  /** Examples that are there, in a shard or in a file of their own. */
  readonly kept: Set<number>
  /** Shards that are there. */
  readonly sealed: Set<number>
  /** Whether the data set's scores are there, or there are none to have. */
  dataset: boolean
  readonly damaged: string[]
}

/** Looks at every file; what is not as it was written is removed. */
async function scan(
  { folder, stored }: Job,
  onProgress: (progress: CalibrateProgress) => void,
  signal?: AbortSignal,
): Promise<State> {
  const { manifest } = stored
  const there = new Set(await list(folder))
  const state: State = { kept: new Set(), sealed: new Set(), dataset: true, damaged: [] }
  const valid = async (name: string, read: (path: string) => Promise<unknown>): Promise<boolean> => {
    if (!there.has(name)) return false
    try {
      await read(joinPath(folder, name))
      return true
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      state.damaged.push(name)
      await remove(joinPath(folder, name))
      return false
    }
  }
  const total = shardCount(manifest)
  for (let shard = 0; shard < total; shard++) {
    onProgress({ stage: 'check', done: shard, total })
    await pause(signal)
    const range = shardRange(manifest, shard)
    if (await valid(shardName(shard), (path) => readExamples(path, stored, range))) state.sealed.add(shard)
    for (let index = range.first; index < range.end; index++) {
      const one = { first: index, end: index + 1 }
      if (state.sealed.has(shard)) {
        state.kept.add(index)
        if (there.has(exampleName(index))) await remove(joinPath(folder, exampleName(index)))
      } else if (await valid(exampleName(index), (path) => readExamples(path, stored, one)))
        state.kept.add(index)
    }
  }
  if (manifest.datasetCriteria.length > 0)
    state.dataset = await valid(datasetName, (path) => readDataset(path, stored))
  return state
}

/** Puts the examples of a shard together once all of them are there. */
async function seal({ folder, stored, windows }: Job, { kept, sealed }: State, shard: number): Promise<void> {
  const range = shardRange(stored.manifest, shard)
  const places = placesOf(range)
  if (sealed.has(shard) || !places.every((index) => kept.has(index))) return
  const path = joinPath(folder, shardName(shard))
  const pathOf = (index: number): string => joinPath(folder, exampleName(index))
  const lengths = places.map((index) => windows[index].promptLength)
  try {
    const examples: GroupedExample[] = []
    for (const index of places)
      examples.push(...(await readExamples(pathOf(index), stored, { first: index, end: index + 1 })))
    await writeExamples(path, stored, examples, lengths)
  } catch (error) {
    // Another process that does the same may have been first, and taken its examples' files away.
    if (!(error instanceof InputError) || !(await exists(path))) throw error
    await readExamples(path, stored, range)
  }
  sealed.add(shard)
  for (const index of places) await remove(pathOf(index))
}

function placesOf({ first, end }: Range): number[] {
  return Array.from({ length: end - first }, (_, i) => first + i)
}
