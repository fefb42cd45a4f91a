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
import { calibrationCost, type CalibrationCost, type CollectTimes } from '../cost/calibration_cost.ts'
import { backendOption } from '../backends/backend.ts'
import { featureWidths } from '../engine/config.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { checkMask } from '../engine/unit_lists.ts'
import type { UnitMask } from '../masks/mask.ts'
import { now } from '../platform/platform.ts'
import { methodHash } from '../results/method_hash.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  checkOptions,
  expectListener,
  kinds,
  orNull,
  recordOption,
  required,
  seedOption,
  wholeOption,
  type Kinds,
} from '../tensor/option.ts'
import { defaultFileExamples, planFiles } from './calibration_files.ts'
import { collectExamples, type Helpers } from './collect_examples.ts'
import { collectMoments } from './collect_moments.ts'
import { sourceOption, takeWindows, type CalibrationSource } from './examples.ts'
import { CalibrationFolder } from './folder.ts'
import { claimFolder, describeCalibration, storeManifest, type CalibrationManifest } from './manifest.ts'

/** Options of a calibration. */
export interface CalibrateOptions extends Helpers {
  /** The model whose units are scored. */
  readonly model: LanguageModel
  /** SHA-256 of the model's files. */
  readonly modelHash: string
  /** Windows of texts (`textSource`) or of tasks (`taskSource`). */
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
  /** Whether to keep the second moments of all units (collect_moments.ts). Default: no. */
  readonly moments?: boolean
  /** Examples per file; default: as many as fit into 16 MiB, at most 64. */
  readonly shardExamples?: number
  /** Called with the planned output before the first window runs. */
  readonly onPlan?: (plan: CalibrationPlan) => void | Promise<void>
}

const calibrateFields: Kinds<CalibrateOptions> = {
  model: required(kinds.model),
  modelHash: required(kinds.hash),
  source: required(sourceOption),
  examples: required(wholeOption('WINDOWS', 1)),
  folder: required(kinds.path),
  criteria: required(kinds.texts),
  seed: seedOption,
  mask: orNull(kinds.object),
  keepSequence: kinds.flag,
  moments: kinds.flag,
  shardExamples: wholeOption('OPTION_TYPE', 1),
  threads: recordOption<NonNullable<Helpers['threads']>>('the path and backend of a model', {
    path: required(kinds.text),
    backend: required(backendOption),
    count: wholeOption('THREADS', 1),
  }),
  runner: orNull(kinds.object),
  onPlan: kinds.call,
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
  readonly stage: 'check' | 'calibrate' | 'moments'
  readonly done: number
  readonly total: number
}

/** The result of a calibration. */
export interface CalibrationReport extends CalibrationPlan {
  /** Examples computed now. */
  readonly computed: number
  /** Windows whose moments were added now; absent where none were requested. */
  readonly moments?: number
  /** Damaged files that were computed again. */
  readonly damaged: readonly string[]
  readonly cost: CalibrationCost
  readonly seconds: number
}

/**
 * Scores the units on many windows of text and keeps scores and features in a folder, or completes a calibration there: what predictors
 * are trained on. `openCalibration` reads it; the example of `trainPredictor` goes from here to a predictor.
 * @param onProgress is called after each step, with how many of how many are done
 * @param signal ends the calibration; a later call with the same options goes on
 * @throws UsageError CRITERION_NAME, CRITERIA for no or repeated criteria, WINDOWS, CONTEXT_LENGTH, MASK_SHAPE, OUTPUT for a folder
 *   with other files; OPTIONS, OPTION_NAME, OPTION_TYPE and the codes of options for options of other names or types; InputError
 *   CALIBRATION_DIFFERS for another calibration, CALIBRATION_FORMAT for an invalid manifest; the signal's reason, finished examples are kept; the system's own error if a file cannot be written
 * @specified `calibrate`
 */
export async function calibrateToFolder(
  options: CalibrateOptions,
  onProgress: (progress: CalibrateProgress) => void = () => {},
  signal?: AbortSignal,
): Promise<CalibrationReport> {
  checkOptions(options, calibrateFields)
  expectListener(onProgress, signal)
  const started = now()
  const { model, modelHash: hash, source, seed = 0, keepSequence = false, mask = null } = options
  const { threads, runner, onPlan } = options
  if (mask) checkMask(mask, model.shape)
  const { criteria, sets } = splitCriteria(options.criteria)
  const windows = await takeWindows(source, options.examples)
  for (const { tokens } of windows) model.checkTokens(tokens, 0)
  const described = await describeCalibration({
    model: { hash, ...model.shape, ...featureWidths(model.config) },
    source: source.name,
    windows,
    criteria,
    datasetCriteria: sets,
    seed,
    keepSequence,
    mask,
  })
  const lengths = windows.map(({ promptLength }) => promptLength)
  const shardExamples = options.shardExamples ?? defaultFileExamples(described, lengths)
  const stored = await storeManifest({ ...described, shardExamples })
  const plan = { manifest: stored.manifest, ...planFiles(stored, lengths) }
  const method = await methodHash()

  const onCheck = (done: number, total: number): void => onProgress({ stage: 'check', done, total })
  await claimFolder(options.folder, stored)
  const folder = await CalibrationFolder.open(options.folder, stored, lengths, onCheck, signal)
  const { kept } = folder
  const existing = kept.size
  await onPlan?.({ ...plan, kept: existing })

  const dataset = new Map<string, DatasetScores>()
  if (!folder.hasDataset) for (const set of sets) dataset.set(set.name, set.begin(model.shape, seed))
  const indices = [...windows.keys()].filter((index) => dataset.size > 0 || !kept.has(index))
  const times: CollectTimes[] = []
  const onCollected = (done: number): void => onProgress({ stage: 'calibrate', done, total: indices.length })
  let done = 0
  onCollected(done)
  const collected = collectExamples(
    { stored, windows, mask },
    { indices, kept, criteria, dataset },
    { model, hash, method },
    { threads, runner },
    signal,
  )
  for await (const { example, times: own } of collected) {
    if (own) times.push(own)
    if (!kept.has(example.index)) await folder.add(example)
    onCollected(++done)
  }
  if (dataset.size > 0)
    await folder.addDataset(new Map([...dataset].map(([name, set]) => [name, set.finish()])))
  let moments: number | undefined
  if (options.moments) {
    const { identity } = stored
    const onMoments = (of: number, total: number): void => onProgress({ stage: 'moments', done: of, total })
    moments = await collectMoments(
      options.folder,
      { model, hash, identity, windows, mask },
      onMoments,
      signal,
    )
  }

  const all = windows.map(({ tokens }) => tokens.length)
  return {
    ...plan,
    kept: existing,
    computed: windows.length - existing,
    ...(moments !== undefined && { moments }),
    damaged: folder.damaged,
    cost: calibrationCost(model.config, all, [...criteria, ...sets], times),
    seconds: (now() - started) / 1000,
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
