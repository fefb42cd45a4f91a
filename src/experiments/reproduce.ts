/**
 * The main job: ShadowLLM from calibration to perplexity and speed, beside its baselines, on one model and one text.
 *
 * 1. calibrate  a criterion's scores of every unit, by real backward passes over documents of every genre
 * 2. train      the predictors, from what prompts show to those scores
 * 3. evaluate   perplexity of continuations from documents never calibrated on, under masks decided by the prompt:
 *               every planner at every sparsity scores the same windows
 * 4. decode     tokens per second with units really skipped, the planner's time included, methods in interleaved rounds
 *
 * The oracle alone sees what follows the prompt: one half of it, for the other half. Being stopped is no failure:
 * what was finished is reported, over the windows that every method has scored. All but the speeds is kept in a part store,
 * so that a second run, or one that goes on, does not compute it again.
 */
import { median, ratioInterval } from '../results/interleaved_rounds.ts'
import { criterionByName } from '../criteria/index.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { now } from '../platform/platform.ts'
import { predictorKindOf } from '../planners/index.ts'
import type { ShadowPredictor } from '../predictor/shadow.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  checkOptions,
  expectListener,
  kinds,
  listOption,
  nameOption,
  orNull,
  recordOption,
  required,
  seedOption,
  wholeOption,
  type Kinds,
} from '../tensor/option.ts'
import { comparisonMethods, sparsePlanners, type ComparisonOptions } from './methods.ts'
import {
  isReleased,
  learns,
  methodRow,
  sourceFields,
  sparsitiesOption,
  type Method,
} from '../results/method.ts'
import { storeOption } from '../results/part_store.ts'
import { measuredFields } from '../results/provenance.ts'
import { documentsOption } from '../data/corpus.ts'
import { windowSizeOption } from '../data/windows.ts'
import type { DecodeSizes } from '../evaluation/decode.ts'
import { scopeOption, shareOption } from '../masks/budget.ts'
import { featureScalings, poolings, targetScalings } from '../predictor/features.ts'
import {
  ExperimentCache,
  type CacheOptions,
  type CacheProgress,
  type CacheStage,
} from './cache/experiment_cache.ts'
import { measureMethods, measureSpeeds, type MeasuredMethod } from './cache/measure.ts'
import {
  compareScores,
  layersOf,
  natsPerToken,
  natsPerWord,
  perplexityOf,
  skippedBy,
} from '../evaluation/tally.ts'
import { percent } from '../results/cells.ts'
import type { MeasuredRun } from '../results/measured_run.ts'
import { methodNames, type Comparison, type ReproduceReport, type ReproduceRow } from './reproduce_report.ts'
import { settingsBySize, type ExperimentSize, type Settings } from '../evaluation/settings.ts'
import { WorkMeter } from './remaining_time.ts'
import type { UnitKind } from '../masks/mask.ts'

/**
 * What a run is of; all but the model and the way to its text has a default: all planners, dense always there, by plainact, the two
 * DejaVu baselines by l2norm, in global scope.
 */
export interface ReproduceOptions
  extends
    Omit<CacheOptions, 'prompt' | 'continuation' | 'shotWindows' | 'signal' | 'onProgress' | 'onMeasured'>,
    Partial<ComparisonOptions> {
  /** Default: `usual`. */
  readonly size?: ExperimentSize
  /** Settings that differ from those of the size. */
  readonly settings?: Partial<Settings>
  /** Default: 0. */
  readonly seed?: number
  /** Whether decode speed is measured. Default: yes. */
  readonly speed?: boolean
  /** Given ShadowLLM's trained predictor, the one for the lowest sparsity, which lives until the run ends. */
  readonly onPredictor?: (predictor: ShadowPredictor) => void | Promise<void>
}

const reproduceFields: Kinds<ReproduceOptions> = {
  ...measuredFields,
  ...sourceFields,
  documents: documentsOption,
  evaluated: documentsOption,
  dataName: kinds.text,
  store: required(storeOption),
  runner: orNull(kinds.object),
  planners: listOption(
    'a list of planners of the main comparison',
    nameOption('PLANNER', ['dense', ...sparsePlanners]),
    'PLANNER',
  ),
  criterion: kinds.text,
  scope: scopeOption,
  size: nameOption('OPTION_TYPE', Object.keys(settingsBySize)),
  settings: kinds.object,
  seed: seedOption,
  speed: kinds.flag,
  onPredictor: kinds.call,
}
const whole = wholeOption('OPTION_TYPE', 1)
const settingsFields: Kinds<Partial<Settings>> = {
  prompt: windowSizeOption,
  continuation: windowSizeOption,
  pruned: sparsitiesOption,
  calibration: wholeOption('WINDOWS', 1),
  evaluation: wholeOption('WINDOWS', 1),
  sparsities: sparsitiesOption,
  features: nameOption('OPTION_TYPE', featureScalings),
  targets: nameOption('OPTION_TYPE', targetScalings),
  sourceLayer: wholeOption('OPTION_TYPE', 0),
  pooling: nameOption('OPTION_TYPE', poolings),
  headHidden: whole,
  neuronHidden: whole,
  training: recordOption<Settings['training']>('how networks are trained', {
    epochs: required(whole),
    batch: required(whole),
    rate: required(kinds.number),
    decay: required(kinds.number),
    heldOut: required(shareOption),
    patience: required(whole),
    spread: nameOption('OPTION_TYPE', ['all', 'unit']),
  }),
  decode: recordOption<DecodeSizes>('the sizes of decoded texts', {
    prompt: required(whole),
    tokens: required(whole),
    rounds: required(whole),
  }),
}

export type ReproduceStage = 'prepare' | CacheStage

/** How far a run is. */
export interface ReproduceProgress {
  readonly stage: ReproduceStage
  readonly done: number
  readonly total: number
  /** Of the whole run; null before there is anything to judge by. */
  readonly secondsLeft: number | null
  /** Perplexities of the windows scored so far, in words. */
  readonly note?: string
}

/**
 * Runs the experiment of the paper on a model, as `shadowllm reproduce` does: calibrates, trains a predictor, and compares it with other
 * planners at several sparsities.
 * @param signal stops it; what was finished is reported
 * @param onProgress is called after each step of a stage
 * @throws UsageError SETTINGS for windows longer than the positions of the model, WINDOWS for text too short, CRITERION_NAME,
 *   SPARSITY; PLANNER for one that the main comparison has not; OPTIONS, OPTION_NAME, OPTION_TYPE and the codes of options for options or
 *   settings of other names or types; MissingError CORPUS_MISSING
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { openPartStore, reproduce } from 'shadowllm/eval'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { model, name: modelName, files: modelFiles, prefixIds } = opt
 * const text = 'The captain looked at the sea. The men were tired, and he told them to go below. '.repeat(40)
 * const names = ['sea', 'storm', 'harbour', 'voyage', 'island', 'ship']
 * const report = await reproduce({
 *   model,
 *   modelName,
 *   modelFiles,
 *   encode: (words) => opt.encode(words),
 *   prefixIds,
 *   documents: names.map((name) => ({ name, genre: 'story', text: `The ${name}. ${text}` })),
 *   store: await openPartStore('build/example/parts'),
 *   planners: ['random', 'static', 'shadow'],
 *   size: 'quick',
 *   // Smaller than the sizes of `size`, and without its speeds: seconds, where `quick` takes a minute.
 *   settings: { prompt: 16, continuation: 8, calibration: 4, evaluation: 2, sparsities: [0.5], pruned: [] },
 *   speed: false,
 * })
 * for (const { planner, tokenPerplexity } of report.rows)
 *   console.log(planner, tokenPerplexity.toFixed(1))
 * await opt.dispose()
 * ```
 */
export async function reproduce(
  options: ReproduceOptions,
  onProgress: (progress: ReproduceProgress) => void = () => {},
  signal?: AbortSignal,
): Promise<ReproduceReport> {
  checkOptions(options, reproduceFields)
  if (options.settings !== undefined) checkOptions(options.settings, settingsFields, 'field')
  expectListener(onProgress, signal)
  const started = now()
  const { model, criterion = 'plainact', scope = 'global', seed = 0 } = options
  const settings: Settings = { ...settingsBySize[options.size ?? 'usual'], ...options.settings }
  const { prompt, continuation, calibration, evaluation, decode } = settings
  criterionByName(criterion)
  const { planners } = options
  const methods = comparisonMethods(settings, { planners, criterion, scope })
  const { positions } = model.config
  const needed = decode.prompt + decode.tokens
  if (needed > positions)
    throw new UsageError('SETTINGS', `decode: expected at most ${positions} tokens, got ${needed}`)
  const progress = new Progress(model, settings, methods, onProgress)
  progress.tell('prepare', 0, 1)
  const cache = await ExperimentCache.open({
    ...options,
    prompt,
    continuation,
    signal,
    onProgress: (part) => progress.onCache(part),
    onMeasured: (run) => runs.push(run),
  })
  let predictorLoss: Record<UnitKind, number | null> | null = null
  let measured: readonly MeasuredMethod[] = []
  const runs: MeasuredRun[] = []
  let rounds: readonly (readonly number[])[] = []
  let complete = false
  try {
    // Prepare: text to windows.
    await cache.pause()
    cache.windows('evaluate', evaluation, seed)
    await cache.pause()
    cache.windows('calibrate', calibration, seed)
    progress.tell('prepare', 1, 1)

    // 1. calibrate, 2. train: examples and predictors, if a planner needs them.
    const learners = methods.filter(learns)
    const examples = learners[0]?.examples
    if (examples) {
      const criteria = [...new Set(learners.map((method) => method.criterion))]
      const { count, shots } = examples
      progress.calibrated = (await cache.examples({ count, shots }, seed, criteria)).length
      const predictors = distinctPredictors(learners)
      for (const [i, method] of predictors.entries()) {
        progress.startTraining(i, predictors.length)
        const { predictor, heldOut } = await cache.predictor(method, seed)
        if (predictor.kind !== 'shadow' || predictorLoss) continue
        const known = (loss: number): number | null => (Number.isFinite(loss) ? loss : null)
        predictorLoss = { heads: known(heldOut.heads), neurons: known(heldOut.neurons) }
        await options.onPredictor?.(predictor)
      }
      progress.tell('train', 1, 1)
    }

    // 3. evaluate: every method on every window; a window counts when all have scored it.
    progress.stage = 'evaluate'
    await measureMethods(cache, methods, evaluation, seed, {
      onBatch(found) {
        measured = found.filter(({ scores }) => scores.length > 0)
        progress.note = describeSoFar(measured) || undefined
      },
    })

    // 4. decode: the speed of every method, on the prompt of the first window.
    progress.stage = 'decode'
    progress.note = undefined
    if (options.speed !== false) rounds = await measureSpeeds(cache, methods, decode, evaluation, seed)
    complete = true
  } catch (error) {
    if (!signal?.aborted || error !== signal.reason) throw error
  } finally {
    await cache.dispose()
  }
  const names = namesOf(measured)
  const dense = rounds[methods.findIndex(({ planner }) => planner === 'dense')]
  return {
    rows: measured.map((found, i) => reproduceRow(found, seed, rounds[i] ?? null, dense ?? null)),
    provenance: await cache.provenance(seed),
    complete,
    calibrationWindows: progress.calibrated,
    evaluationWindows: measured[0]?.scores.length ?? 0,
    predictorLoss,
    shadowAgainstStatic: compareWithStatic(measured),
    layers: measured.map(({ scores }, i) => layersOf(names[i], scores)),
    measured: runs,
    seconds: (now() - started) / 1000,
  }
}

/** How far a run is, from what its cache tells. */
class Progress {
  stage: CacheStage = 'calibrate'
  /** Windows that were calibrated on. */
  calibrated = 0
  note: string | undefined
  /** Calibrations: the dense one, and one for each sparsity that ShadowLLM's targets are measured at. */
  readonly #rounds: number
  #round = 0
  /** Which predictor is being trained, of how many. */
  #trained: [number, number] = [0, 1]
  readonly tell: (stage: ReproduceStage, done: number, total: number) => void

  constructor(
    model: LanguageModel,
    settings: Settings,
    methods: readonly Method[],
    onProgress: (progress: ReproduceProgress) => void,
  ) {
    this.#rounds = calibrationsOf(methods)
    const meter = new WorkMeter(expectedWork(model, settings, methods))
    this.tell = (stage, done, total) => {
      const secondsLeft = meter.update(stage, total > 0 ? done / total : 1)
      onProgress({ stage, done, total, secondsLeft, note: this.note })
    }
  }

  startTraining(index: number, count: number): void {
    this.stage = 'train'
    this.#trained = [index, count]
  }

  /** Takes note of how far a part is; parts that another stage makes on its way are not told. */
  onCache({ stage, done, total }: CacheProgress): void {
    if (stage === 'calibrate') {
      if (this.stage === 'calibrate') this.calibrated = done
      this.tell('calibrate', this.#round * total + done, Math.max(this.#round + 1, this.#rounds) * total)
      if (done === total) this.#round++
    } else if (stage === 'train') {
      const [index, count] = this.#trained
      this.tell('train', index * total + done, count * total)
    } else if (stage === this.stage) this.tell(stage, done, total)
  }
}

/** Methods with their sparsities, in words. */
function namesOf(measured: readonly MeasuredMethod[]): string[] {
  const names = methodNames(measured.map(({ method }) => methodRow(method)))
  return names.map((name, i) => `${name} ${percent(measured[i].method.sparsity)}`)
}

/** The perplexity of each method on the windows that all have scored. */
function describeSoFar(measured: readonly MeasuredMethod[]): string {
  const names = namesOf(measured)
  return measured
    .map(({ scores }, i) => `${names[i]}: ${perplexityOf(natsPerToken(scores)).value.toPrecision(3)}`)
    .join(', ')
}

/** How often examples are scored: in the dense model, and under each static mask. */
function calibrationsOf(methods: readonly Method[]): number {
  return new Set(methods.map(({ examples }) => examples?.pruned)).size
}

/**
 * The table row of a method.
 * @param speeds decoded tokens per second, by round; null where they were not measured
 * @param dense those of the dense model
 */
function reproduceRow(
  { method, scores }: MeasuredMethod,
  seed: number,
  speeds: readonly number[] | null,
  dense: readonly number[] | null,
): ReproduceRow {
  const ratio = speeds && dense && speeds !== dense ? ratioInterval(speeds, dense) : null
  const { heads, neurons, weights } = skippedBy(scores)
  const token = perplexityOf(natsPerToken(scores))
  return {
    ...methodRow(method),
    seed,
    achieved: { heads, neurons, weights },
    tokenPerplexity: token.value,
    tokenPerplexityError: token.error,
    wordPerplexity: perplexityOf(natsPerWord(scores)).value,
    decodeTokensPerSecond: speeds && median(speeds),
    decodeRatioRange: ratio && [ratio.low, ratio.high],
  }
}

/** One of the methods that ask the same predictor: those of a planner mostly differ in sparsity, for which nothing is learnt. */
function distinctPredictors(methods: readonly Method[]): Method[] {
  const keyOf = ({ planner, criterion, examples }: Method): string =>
    JSON.stringify([planner, criterion, examples])
  const asking = methods.filter(({ planner }) => predictorKindOf(planner))
  return [...new Map(asking.toReversed().map((method) => [keyOf(method), method])).values()].toReversed()
}

/** Shadow against static, by either's scores, at every sparsity that has both. */
function compareWithStatic(measured: readonly MeasuredMethod[]): Comparison[] {
  return measured.flatMap(({ method, scores }) => {
    const { planner, sparsity } = method
    if (planner !== 'shadow' || isReleased(method)) return []
    const fixed = measured.filter(({ method: one }) => one.planner === 'static' && one.sparsity === sparsity)
    return fixed.map((other) => {
      const sameScores = other.method.examples?.pruned !== undefined
      return { sparsity, sameScores, ...compareScores(scores, other.scores) }
    })
  })
}

/** What each stage costs, in forward passes of one token. */
function expectedWork(
  model: LanguageModel,
  settings: Settings,
  methods: readonly Method[],
): Record<ReproduceStage, number> {
  const { layers, width, neurons, heads, vocabulary } = model.config
  const { prompt, continuation, calibration, evaluation, training, decode } = settings
  const window = prompt + continuation
  const parameters = layers * (4 * width * width + 2 * neurons * width) + vocabulary * width
  const outputs = (layers - 1) * (heads * settings.headHidden + neurons * settings.neuronHidden)
  const trained = outputs + width * (settings.headHidden + settings.neuronHidden)
  const kinds = new Set(methods.map(({ planner }) => predictorKindOf(planner))).size
  // One token at a time is bound by memory: about four times the cost.
  const alone = 4 * continuation
  const scored = methods.reduce((total, { planner, sparsity }) => {
    return total + (1 - 0.7 * sparsity) * (planner === 'dejavu' ? prompt + alone : window)
  }, 0)
  return {
    prepare: 40 * window,
    calibrate: 3 * window * calibration * calibrationsOf(methods),
    train: (3 * training.epochs * calibration * trained * kinds) / parameters,
    evaluate: (scored + 6 * window) * evaluation,
    decode: methods.length * decode.rounds * (decode.prompt + 4 * decode.tokens),
  }
}
