/**
 * The cache of experiments: a model, a text, and everything that is computed from them, each part once.
 *
 * Windows, calibrations and predictors are made when they are first asked for and remembered. In a part store, what
 * costs minutes (traces, predictors, scored windows) is kept under a hash of all it depends on, the sources of the
 * method included; another run reuses it, and a stopped run continues.
 *
 * Every genre of the text is split into documents to calibrate on and others to evaluate on. A seed decides which
 * windows are drawn from each part, where training starts and what is random; the split itself is always the same.
 */
import { datasetCriteria } from '../../criteria/index.ts'
import { makeBudget } from '../../masks/budget.ts'
import type { UnitMask } from '../../masks/mask.ts'
import { bitsOf } from '../../backends/backend.ts'
import { backendTopK, selectMask, type UnitScores } from '../../masks/selection.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import { UsageError } from '../../tensor/errors.ts'
import { pause } from '../../platform/pause.ts'
import type { TrainedPredictor } from '../../training/train_predictor.ts'
import { ScoreAggregate } from '../../calibration/aggregate.ts'
import { calibrateToFolder, type CalibrateProgress } from '../../calibration/collect.ts'
import type { GroupedExample } from '../../calibration/examples.ts'
import { hashMask, hashWindows } from '../../calibration/manifest.ts'
import { openCalibration, type Calibration } from '../../calibration/open.ts'
import { loadBrown, splitDocuments, type Document, type Split } from '../../data/corpus.ts'
import type { MeasuredRun } from '../../results/measured_run.ts'
import { asCache, type PartStore } from '../../results/part_store.ts'
import {
  hashFiles,
  hashTexts,
  makeProvenance,
  modelSource,
  type MeasuredModel,
  type Provenance,
} from '../../results/provenance.ts'
import {
  cutWindows,
  drawWindows,
  makeWordEncoder,
  type Window,
  type WindowSizes,
} from '../../data/windows.ts'
import { encodeHeld } from '../../compensation/moments_file.ts'
import {
  learns,
  readsMoments,
  type Aggregation,
  type ExampleSettings,
  type Method,
  type MethodInputs,
  type MethodSources,
} from '../../results/method.ts'
import type { JobRunner } from '../../jobs/runner.ts'
import type { JobModel } from '../../jobs/job_model.ts'
import { sha256 } from '../../platform/platform.ts'
import { needs, predictorKindOf } from '../../planners/index.ts'
import { encodePredictor, type Predictor } from '../../predictor/predictor_file.ts'
import { predictorFor } from '../../predictor/suitable.ts'
import { methodHash, type MethodHash } from '../../results/method_hash.ts'
import { openTrained, saveTrained, trainMethod } from './trained.ts'
import { remembered } from '../../tensor/records.ts'

/**
 * The inputs of experiments. Predictors and mean scores that are given take the place of what is learnt, for methods that say nothing
 * of how to learn; the caller disposes them.
 */
export interface CacheOptions extends MeasuredModel, WindowSizes, MethodSources {
  /** Default: the Brown corpus. */
  readonly documents?: readonly Document[]
  /** Documents to evaluate on in place of those that the split keeps for it; nothing is learnt from them. */
  readonly evaluated?: readonly Document[]
  /** The name of the documents in reports. */
  readonly dataName?: string
  /** Makes the windows of examples with shots; required for these. */
  readonly shotWindows?: ShotWindows
  /** Keeps parts, also for other runs. */
  readonly store: PartStore
  /** Calibrates and evaluates in place of this process; the caller closes it. */
  readonly runner?: JobRunner | null
  /** Ends the work; the call then throws its reason. */
  readonly signal?: AbortSignal
  /** Called with the progress of the part that is computed. */
  readonly onProgress?: (progress: CacheProgress) => void
  /** Called with all that was measured of some methods on the windows of a seed. */
  readonly onMeasured?: (run: MeasuredRun) => void
}

export type CacheStage = 'calibrate' | 'train' | 'evaluate' | 'decode'

/** The progress of one part. */
export interface CacheProgress {
  readonly stage: CacheStage
  readonly done: number
  readonly total: number
}

/** Windows of a document's text, or rows of a task, for one number of shots. */
export type ShotWindows = (cache: ExperimentCache, count: number, seed: number, shots: number) => Window[]

/** Examples, what was asked for, and the criteria that they have scores of. */
interface ExampleSet {
  readonly settings: ExampleSettings
  readonly seed: number
  readonly keepSequence: boolean
  readonly criteria: Set<string>
  examples: readonly GroupedExample[]
}

/** What to collect from windows. */
interface CollectRequest {
  readonly windows: Window[]
  readonly seed: number
  readonly criteria: readonly string[]
  readonly keepSequence?: boolean
  readonly mask?: UnitMask | null
}

type CacheHashes = { readonly model: string; readonly data: string; readonly method: MethodHash }

/** See the head of this file; `ExperimentCache.open` makes one. */
export class ExperimentCache {
  readonly model: LanguageModel
  readonly options: CacheOptions
  readonly split: Split
  readonly modelHash: string
  readonly dataHash: string
  readonly #method: MethodHash
  readonly #encodeWords: (text: string) => Int32Array[]
  readonly #windows = new Map<string, Window[]>()
  readonly #examples = new Map<string, ExampleSet>()
  readonly #predictors = new Map<string, Promise<TrainedPredictor>>()
  readonly #means = new Map<string, Promise<UnitScores>>()
  #momentsHash: Promise<string> | null = null
  readonly #pruned = new Map<string, Promise<UnitScores[]>>()

  private constructor(options: CacheOptions, split: Split, hashes: CacheHashes) {
    this.options = options
    this.model = options.model
    this.split = split
    this.modelHash = hashes.model
    this.dataHash = hashes.data
    this.#method = hashes.method
    this.#encodeWords = makeWordEncoder(options.encode)
  }

  /** Reads and splits the text. @throws MissingError CORPUS_MISSING; UsageError SETTINGS for windows the model has no room for */
  static async open(options: CacheOptions): Promise<ExperimentCache> {
    const { prompt, continuation, modelFiles } = options
    const { positions } = options.model.config
    if (prompt + continuation > positions)
      throw new UsageError(
        'SETTINGS',
        `window: expected at most ${positions} tokens, got ${prompt + continuation}`,
      )
    const { documents = await loadBrown(), evaluated } = options
    const hashes = {
      model: await hashFiles(modelFiles),
      data: await hashTexts(documents),
      method: await methodHash(),
    }
    const split = splitDocuments(documents)
    return new ExperimentCache(options, { ...split, ...(evaluated && { evaluate: evaluated }) }, hashes)
  }

  /** Yields to the event loop, so that ctrl-C is handled. @throws the signal's reason */
  pause(): Promise<void> {
    return pause(this.options.signal)
  }

  /** Reports the progress of a part. */
  tell(stage: CacheStage, done: number, total: number): void {
    this.options.onProgress?.({ stage, done, total })
  }

  /**
   * The first `count` windows of a part in the order of a seed; fewer where there are fewer.
   * @throws UsageError WINDOWS if there is none
   */
  windows(part: keyof Split, count: number, seed: number): Window[] {
    return remembered(this.#windows, `${part} ${seed} ${count}`, () => {
      const { prompt, continuation } = this.options
      const windows = drawWindows(this.split[part], count, seed, (document) =>
        cutWindows(document, this.#encodeWords, this.options),
      )
      if (windows.length > 0) return windows
      throw new UsageError(
        'WINDOWS',
        `text: expected documents of ${prompt + continuation} tokens or more in both parts, got none`,
      )
    })
  }

  /** The model that jobs of these experiments name. */
  get jobModel(): JobModel {
    return { model: this.model, hash: this.modelHash, method: this.#method }
  }

  /** Whatever a result of these experiments depends on besides its own settings: part of the name it is kept under. */
  identity(part: string): Record<string, unknown> {
    const { prompt, continuation, prefixIds } = this.options
    return {
      part,
      method: part === 'calibration' ? this.#method.calibration : this.#method.all,
      model: this.modelHash,
      bits: bitsOf(this.model.backend.name),
      data: this.dataHash,
      prompt,
      continuation,
      prefixIds,
    }
  }

  /**
   * Examples with scores of at least these criteria. Only the criteria that are still missing are computed.
   * @param keepSequence whether layer 0's context of every prompt token is needed
   */
  async examples(
    settings: ExampleSettings,
    seed: number,
    criteria: readonly string[],
    keepSequence = false,
  ): Promise<readonly GroupedExample[]> {
    const { pruned, ...dense } = settings
    if (pruned !== undefined) return this.#prunedExamples(dense, pruned, seed, criteria, keepSequence)
    const key = JSON.stringify([settings, seed, keepSequence])
    const known = this.#examples.get(key) ?? this.#fewerExamples(settings, seed, criteria, keepSequence)
    const missing = criteria.filter((name) => !known?.criteria.has(name))
    if (known && missing.length === 0) return known.examples
    const windows = this.#calibrationWindows(settings, seed)
    const found = await this.#collect({ windows, seed, criteria: missing, keepSequence })
    if (!known) {
      this.#examples.set(key, { settings, seed, keepSequence, criteria: new Set(criteria), examples: found })
      return found
    }
    known.examples = known.examples.map((example, i) => ({
      ...example,
      scores: new Map([...example.scores, ...found[i].scores]),
    }))
    for (const name of missing) known.criteria.add(name)
    return known.examples
  }

  /** The first of a larger set, which they are: fewer windows of a seed are the first of more. */
  #fewerExamples(
    settings: ExampleSettings,
    seed: number,
    criteria: readonly string[],
    keepSequence: boolean,
  ): ExampleSet | undefined {
    // Shots are drawn from the set, so they are others in a larger one.
    if (settings.shots !== null) return undefined
    for (const set of this.#examples.values()) {
      const { count, shots } = set.settings
      const isSame = shots === null && set.seed === seed && set.keepSequence === keepSequence
      if (isSame && count > settings.count && criteria.every((name) => set.criteria.has(name)))
        return { ...set, examples: set.examples.slice(0, settings.count) }
    }
    return undefined
  }

  /**
   * Examples whose neurons are scored in a pruned model; features, and the scores of heads, stay those of the dense one.
   * There are few heads: under a mask that skips most of them what is left is each other's substitute, and a ranking made
   * from that does worse than the dense one.
   */
  async #prunedExamples(
    settings: ExampleSettings,
    pruned: number,
    seed: number,
    criteria: readonly string[],
    keepSequence: boolean,
  ): Promise<readonly GroupedExample[]> {
    const dense = await this.examples(settings, seed, criteria, keepSequence)
    const scores = dense.map((): Map<string, UnitScores> => new Map())
    for (const criterion of criteria) {
      const key = JSON.stringify([settings, pruned, seed, criterion])
      const known = await remembered(this.#pruned, key, () =>
        this.#prunedScores(settings, pruned, seed, criterion),
      )
      known.forEach(({ neurons }, i) =>
        scores[i].set(criterion, { ...(dense[i].scores.get(criterion) as UnitScores), neurons }),
      )
    }
    return dense.map((example, i) => ({ ...example, scores: scores[i] }))
  }

  /** The scores of each example under the static mask of the dense ones. */
  async #prunedScores(
    settings: ExampleSettings,
    pruned: number,
    seed: number,
    criterion: string,
  ): Promise<UnitScores[]> {
    const mean = await this.#aggregate(criterion, 'mean', settings, seed)
    const mask = selectMask(mean, makeBudget(pruned), backendTopK(this.model.backend))
    const windows = this.#calibrationWindows(settings, seed)
    const found = await this.#collect({ windows, seed, criteria: [criterion], mask })
    return found.map(({ scores }) => scores.get(criterion) as UnitScores)
  }

  /** One ranking of all units from a method's examples. */
  mean(method: Method, seed: number): Promise<UnitScores> {
    const { criterion, aggregation = 'mean' } = method
    const settings = needExamples(method)
    return remembered(this.#means, JSON.stringify([criterion, aggregation, settings, seed]), async () => {
      if (!datasetCriteria.some(({ name }) => name === criterion))
        return this.#aggregate(criterion, aggregation, settings, seed)
      const windows = this.#calibrationWindows(settings, seed)
      return (await this.#calibrate({ windows, seed, criteria: [criterion] })).aggregate(criterion)
    })
  }

  async #aggregate(
    criterion: string,
    aggregation: Aggregation,
    settings: ExampleSettings,
    seed: number,
  ): Promise<UnitScores> {
    const sum = new ScoreAggregate(aggregation)
    for (const { scores, group } of await this.examples(settings, seed, [criterion]))
      sum.add(scores.get(criterion) as UnitScores, group)
    return sum.finish()
  }

  /** The trained predictor of a method. It lives as long as the cache. */
  predictor(method: Method, seed: number): Promise<TrainedPredictor> {
    const { criterion, examples, predictor } = method
    const description = { kind: predictorKindOf(method.planner), criterion, examples, predictor, seed }
    return remembered(this.#predictors, JSON.stringify(description), () =>
      this.#makePredictor(method, seed, description),
    )
  }

  /** The inputs of a method: its mean scores, or its predictor. They live as long as the cache. */
  async inputs(method: Method, seed: number): Promise<MethodInputs> {
    const moments = readsMoments(method) ? this.options.moments : undefined
    const given = this.#given(method)
    if (given) return { predictor: given, moments }
    if (predictorKindOf(method.planner))
      return { predictor: (await this.predictor(method, seed)).predictor, moments }
    if (!learns(method)) return { moments }
    return { mean: this.#givenMean(method) ?? (await this.mean(method, seed)), moments }
  }

  /** SHA-256 of the given predictor that a method asks, or of the given scores that it ranks by, and of moments; null where it asks none. */
  async givenHash(method: Method): Promise<string | null> {
    const own = await this.#ownHash(method)
    if (!readsMoments(method)) return own
    const { moments } = this.options
    this.#momentsHash ??= moments ? sha256(encodeHeld(moments)) : Promise.resolve('none')
    return `${own ?? ''} ${await this.#momentsHash}`.trim()
  }

  async #ownHash(method: Method): Promise<string | null> {
    const given = this.#given(method)
    if (given) return sha256(Uint8Array.from(encodePredictor(given)))
    const mean = learns(method) && needs(method.planner, 'calibration') && this.#givenMean(method)
    return mean ? sha256(bytesOf(mean)) : null
  }

  #givenMean({ examples }: Method): UnitScores | undefined {
    return examples ? undefined : this.options.mean
  }

  #given({ planner, predictor }: Method): Predictor | undefined {
    return predictor ? undefined : predictorFor(planner, this.options.predictors ?? [])
  }

  /** Where the numbers of a report come from. */
  async provenance(seed: number): Promise<Provenance> {
    const { model, modelName, modelOrigin, evaluated, argv = [] } = this.options
    const used = evaluated && [...this.split.calibrate, ...evaluated]
    return makeProvenance({
      backend: model.backend,
      model: modelSource(modelName, this.modelHash, modelOrigin),
      data: { name: this.#dataName, hash: used ? await hashTexts(used) : this.dataHash },
      seed,
      argv,
    })
  }

  /** Frees the predictors. */
  async dispose(): Promise<void> {
    for (const made of this.#predictors.values()) {
      const trained = await made.catch(() => null)
      trained?.predictor.dispose()
    }
    this.#predictors.clear()
  }

  /** One hash for the windows that are calibrated on. */
  examplesHash(settings: ExampleSettings, seed: number): Promise<string> {
    return hashWindows(this.#calibrationWindows(settings, seed))
  }

  /** Windows to calibrate on. */
  #calibrationWindows({ count, shots }: ExampleSettings, seed: number): Window[] {
    if (shots === null) return this.windows('calibrate', count, seed)
    const { shotWindows } = this.options
    if (shotWindows) return shotWindows(this, count, seed, shots)
    throw new UsageError('SETTINGS', 'examples: expected a task to take shots of, got none')
  }

  /** An example of each window. What was finished is kept. @throws the signal's reason */
  async #collect(request: CollectRequest): Promise<GroupedExample[]> {
    return (await this.#calibrate(request)).readAll()
  }

  /** A calibration in the store, which may be there already, finished or not. */
  async #calibrate({
    windows,
    seed,
    criteria,
    keepSequence = false,
    mask = null,
  }: CollectRequest): Promise<Calibration> {
    const { model, modelHash } = this
    const { store, runner, signal } = this.options
    const request = { criteria: criteria.toSorted(), seed, keepSequence }
    const folder = await store.folder({
      ...this.identity('calibration'),
      ...request,
      windows: await hashWindows(windows),
      mask: mask && (await hashMask(mask)),
    })
    const options = {
      ...request,
      model,
      modelHash,
      source: { name: this.#calibratedName, windows },
      examples: windows.length,
      folder,
      mask,
      runner,
    }
    const onProgress = ({ stage, done, total }: CalibrateProgress): void => {
      if (stage === 'calibrate') this.tell('calibrate', done, total)
    }
    await asCache(folder, () => calibrateToFolder(options, onProgress, signal))
    return openCalibration(folder)
  }

  get #dataName(): string {
    const { dataName, documents } = this.options
    return dataName ?? (documents ? 'documents' : 'Brown corpus')
  }

  /** The name of what is learnt from: `dataName` is that of the evaluated text, where there is one of its own. */
  get #calibratedName(): string {
    const { documents, evaluated } = this.options
    return evaluated ? (documents ? 'documents' : 'Brown corpus') : this.#dataName
  }

  async #makePredictor(method: Method, seed: number, description: object): Promise<TrainedPredictor> {
    const windows = await this.examplesHash(needExamples(method), seed)
    const part = { ...this.identity('predictor'), windows, ...description }
    const folder = await this.options.store.files(part, async (to) => {
      const trained = await this.#train(method, seed)
      await saveTrained(to, trained)
      trained.predictor.dispose()
    })
    return openTrained(folder, this.model.backend)
  }

  async #train(method: Method, seed: number): Promise<TrainedPredictor> {
    const { criterion, predictor } = method
    const keepSequence = predictor?.pooling === 'attention'
    const examples = await this.examples(needExamples(method), seed, [criterion], keepSequence)
    return trainMethod(this.model, method, examples, seed, this.dataHash, {
      signal: this.options.signal,
      onEpoch: (done, total) => this.tell('train', done, total),
    })
  }
}

/** The scores of heads, then those of neurons. */
function bytesOf({ heads, neurons }: UnitScores): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Float32Array.of(...heads, ...neurons).buffer)
}

function needExamples({ planner, examples }: Method): ExampleSettings {
  if (examples) return examples
  throw new TypeError(`${planner}: expected examples to learn from, got none`)
}
