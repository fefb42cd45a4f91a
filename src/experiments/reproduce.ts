/**
 * The main job: ShadowLLM from calibration to perplexity and speed, beside its baselines, on one model and one text.
 *
 * 1. calibrate  a criterion's scores of every unit, by real backward passes over documents of every genre
 * 2. train      the predictors, from what prompts show to those scores
 * 3. evaluate   perplexity of continuations from documents never calibrated on, under masks decided by the prompt:
 *               every planner at every sparsity scores the same windows
 * 4. decode     tokens per second with units really skipped, the planner's time included, methods in interleaved rounds
 *
 * The oracle alone sees answers; it bounds what a predictor can reach with this criterion. Being stopped is no failure:
 * what was finished is reported, over the windows that every method has scored. All but the speeds is kept in a part store
 * where one is given, so that a second run, or one that goes on, does not compute it again.
 */
import { criterionByName } from '../criteria/index.ts'
import type { Scope } from '../masks/budget.ts'
import type { OptModel } from '../engine/opt_model.ts'
import { now } from '../platform/platform.ts'
import type { UnitKind } from '../predictor/predictor_config.ts'
import type { PlannerName } from '../predictor/planners.ts'
import type { ShadowPredictor } from '../predictor/shadow.ts'
import { UsageError } from '../tensor/errors.ts'
import { comparisonMethods } from './methods.ts'
import { learns, methodRow, predictorKindOf, type Method } from '../results/method.ts'
import {
  ExperimentCache,
  type CacheOptions,
  type CacheProgress,
  type CacheStage,
} from '../evaluation/cache/experiment_cache.ts'
import { measureMethods, measureSpeeds, type MeasuredMethod } from '../evaluation/cache/measure.ts'
import {
  compareScores,
  layersOf,
  natsPerToken,
  natsPerWord,
  perplexityOf,
  skippedBy,
} from '../evaluation/tally.ts'
import type { Comparison, ReproduceReport, ReproduceRow } from '../results/report.ts'
import { fullSettings, quickSettings, type Settings } from '../evaluation/settings.ts'
import { WorkMeter } from './remaining_time.ts'

/** What a run is of; all but the model and the way to its text has a default. */
export interface ReproduceOptions extends Omit<
  CacheOptions,
  'prompt' | 'continuation' | 'shotWindows' | 'signal' | 'onProgress'
> {
  /** A run of less than a minute on the embedded model. */
  readonly quick?: boolean
  /** Settings that differ from those of `quick` or of the full run. */
  readonly settings?: Partial<Settings>
  /** Which planners to compare; dense is always there. Default: all. */
  readonly planners?: readonly PlannerName[]
  /** Default: plainact. */
  readonly criterion?: string
  /** Of the two DejaVu baselines; default: l2norm. */
  readonly baselineCriterion?: string
  /** Default: global. */
  readonly scope?: Scope
  /** Default: 0. */
  readonly seed?: number
  /** Whether decode speed is measured. Default: yes. */
  readonly speed?: boolean
  /** Given ShadowLLM's trained predictor, the one for the lowest sparsity, which lives until the run ends. */
  readonly onPredictor?: (predictor: ShadowPredictor) => void | Promise<void>
}

type ReproduceStage = 'prepare' | CacheStage

/** How far a run is. */
export interface ReproduceProgress {
  readonly stage: ReproduceStage
  readonly done: number
  readonly total: number
  /** Of the whole run; null before there is anything to judge by. */
  readonly secondsLeft: number | null
}

/**
 * Runs the experiment.
 * @param signal stops it; what was finished is reported
 * @throws UsageError SETTINGS for windows longer than the positions of the model, WINDOWS for text too short, CRITERION_NAME,
 *   SPARSITY; MissingError CORPUS_MISSING
 */
export async function reproduce(
  options: ReproduceOptions,
  onProgress: (progress: ReproduceProgress) => void = () => {},
  signal?: AbortSignal,
): Promise<ReproduceReport> {
  const run = new Run(options, onProgress, signal)
  try {
    await run.prepare()
    await run.learn()
    await run.evaluate()
    if (options.speed !== false) await run.decode()
    run.complete = true
    return await run.report()
  } catch (error) {
    if (!signal?.aborted || error !== signal.reason) throw error
    return await run.report()
  } finally {
    await run.dispose()
  }
}

/** One run and what it has so far. */
class Run {
  complete = false
  readonly #options: ReproduceOptions
  readonly #settings: Settings
  readonly #seed: number
  readonly #methods: readonly Method[]
  readonly #signal: AbortSignal | undefined
  readonly #tell: (stage: ReproduceStage, done: number, total: number) => void
  readonly #started = now()
  #cache: ExperimentCache | null = null
  #stage: CacheStage = 'calibrate'
  #calibrated = 0
  /** Calibrations done: the dense one, and one for each sparsity that ShadowLLM's targets are measured at. */
  #round = 0
  readonly #rounds: number
  /** Which predictor is being trained, of how many. */
  #trained: [number, number] = [0, 1]
  #measured: readonly MeasuredMethod[] = []
  #speeds: readonly number[] = []
  #predictorLoss: Record<UnitKind, number> | null = null

  constructor(
    options: ReproduceOptions,
    onProgress: (progress: ReproduceProgress) => void,
    signal: AbortSignal | undefined,
  ) {
    const { criterion = 'plainact', baselineCriterion = 'l2norm', scope = 'global', planners } = options
    this.#options = options
    this.#settings = { ...(options.quick ? quickSettings : fullSettings), ...options.settings }
    this.#seed = options.seed ?? 0
    for (const name of [criterion, baselineCriterion]) criterionByName(name)
    this.#methods = comparisonMethods(this.#settings, { planners, criterion, baselineCriterion, scope })
    this.#rounds = new Set(this.#methods.map(({ examples }) => examples?.pruned)).size
    this.#signal = signal
    checkSettings(this.#settings, options.model.config.positions)
    const meter = new WorkMeter(expectedWork(options.model, this.#settings, this.#methods))
    this.#tell = (stage, done, total) => {
      onProgress({ stage, done, total, secondsLeft: meter.update(stage, total > 0 ? done / total : 1) })
    }
  }

  /** Text to windows. */
  async prepare(): Promise<void> {
    this.#tell('prepare', 0, 1)
    const { prompt, continuation, calibration, evaluation } = this.#settings
    const cache = await ExperimentCache.open({
      ...this.#options,
      prompt,
      continuation,
      signal: this.#signal,
      onProgress: (progress) => this.#onCache(progress),
    })
    this.#cache = cache
    await cache.pause()
    cache.windows('evaluate', evaluation, this.#seed)
    await cache.pause()
    cache.windows('calibrate', calibration, this.#seed)
    this.#tell('prepare', 1, 1)
  }

  /** Examples, static scores and predictors; nothing that no planner needs. */
  async learn(): Promise<void> {
    const cache = this.#needCache()
    const learners = this.#methods.filter(learns)
    const criteria = [...new Set(learners.map(({ criterion }) => criterion))]
    if (!learners[0]?.examples) return
    const { count, shots } = learners[0].examples
    this.#calibrated = (await cache.examples({ count, shots }, this.#seed, criteria)).length
    this.#stage = 'train'
    const predictors = distinctPredictors(learners)
    for (const [i, method] of predictors.entries()) {
      this.#trained = [i, predictors.length]
      const { predictor, heldOut } = await cache.predictor(method, this.#seed)
      if (predictor.kind !== 'shadow' || this.#predictorLoss) continue
      this.#predictorLoss = { ...heldOut }
      await this.#options.onPredictor?.(predictor)
    }
    this.#tell('train', 1, 1)
  }

  /** Every method on every window; a window counts when all have scored it. */
  async evaluate(): Promise<void> {
    this.#stage = 'evaluate'
    await measureMethods(
      this.#needCache(),
      this.#methods,
      this.#settings.evaluation,
      this.#seed,
      (measured) => {
        this.#measured = measured
      },
    )
  }

  /** The speed of every method, on the prompt of the first window. */
  async decode(): Promise<void> {
    this.#stage = 'decode'
    const { decode, evaluation } = this.#settings
    this.#speeds = await measureSpeeds(this.#needCache(), this.#methods, decode, evaluation, this.#seed)
  }

  async dispose(): Promise<void> {
    await this.#cache?.dispose()
  }

  async report(): Promise<ReproduceReport> {
    const scored = this.#measured.filter(({ scores }) => scores.length > 0)
    return {
      rows: scored.map((measured, i) => reproduceRow(measured, this.#seed, this.#speeds[i] ?? null)),
      provenance: await this.#needCache().provenance(this.#seed),
      complete: this.complete,
      calibrationWindows: this.#calibrated,
      evaluationWindows: scored[0]?.scores.length ?? 0,
      predictorLoss: this.#predictorLoss,
      shadowAgainstStatic: compareWithStatic(scored),
      layers: scored.map(({ method: { planner, sparsity }, scores }) =>
        layersOf(`${planner} ${Math.round(1000 * sparsity) / 10} %`, scores),
      ),
      seconds: (now() - this.#started) / 1000,
    }
  }

  #onCache({ stage, done, total }: CacheProgress): void {
    if (stage === 'calibrate') {
      if (this.#stage === 'calibrate') this.#calibrated = done
      this.#tell('calibrate', this.#round * total + done, Math.max(this.#round + 1, this.#rounds) * total)
      if (done === total) this.#round++
    } else if (stage === 'train') {
      const [trained, predictors] = this.#trained
      this.#tell('train', trained * total + done, predictors * total)
    } else if (stage === this.#stage) this.#tell(stage, done, total)
  }

  #needCache(): ExperimentCache {
    if (this.#cache) return this.#cache
    throw new TypeError('cache: expected an open one')
  }
}

/** The table row of a method. @param speed decoded tokens per second; null where it was not measured */
function reproduceRow({ method, scores }: MeasuredMethod, seed: number, speed: number | null): ReproduceRow {
  const { heads, neurons, weights } = skippedBy(scores)
  return {
    ...methodRow(method),
    seed,
    achieved: { heads, neurons, weights },
    tokenPerplexity: perplexityOf(natsPerToken(scores)).value,
    wordPerplexity: perplexityOf(natsPerWord(scores)).value,
    decodeTokensPerSecond: speed,
  }
}

/** One of the methods that ask the same predictor: those of a planner mostly differ in sparsity, for which nothing is learnt. */
function distinctPredictors(methods: readonly Method[]): Method[] {
  const keyOf = ({ planner, criterion, examples }: Method): string =>
    JSON.stringify([planner, criterion, examples])
  const asking = methods.filter((method) => predictorKindOf(method))
  return [...new Map(asking.toReversed().map((method) => [keyOf(method), method])).values()].toReversed()
}

/** Shadow against static, by either's scores, at every sparsity that has both. */
function compareWithStatic(measured: readonly MeasuredMethod[]): Comparison[] {
  return measured.flatMap(({ method: { planner, sparsity }, scores }) => {
    if (planner !== 'shadow') return []
    const fixed = measured.filter(({ method: one }) => one.planner === 'static' && one.sparsity === sparsity)
    return fixed.map((other) => {
      const { nats, error } = compareScores(scores, other.scores)
      const sameScores = other.method.examples?.pruned !== undefined
      return { sparsity, sameScores, nats, error: Number.isNaN(error) ? null : error }
    })
  })
}

function checkSettings({ prompt, continuation, decode }: Settings, positions: number): void {
  for (const [name, needed] of [
    ['window', prompt + continuation],
    ['decode', decode.prompt + decode.tokens],
  ] as const)
    if (needed > positions)
      throw new UsageError('SETTINGS', `${name}: expected at most ${positions} tokens, got ${needed}`)
}

/** What each stage costs, in forward passes of one token. */
function expectedWork(
  model: OptModel,
  settings: Settings,
  methods: readonly Method[],
): Record<ReproduceStage, number> {
  const { layers, width, neurons, heads, vocabulary } = model.config
  const { prompt, continuation, calibration, evaluation, training, decode } = settings
  const window = prompt + continuation
  const parameters = layers * (4 * width * width + 2 * neurons * width) + vocabulary * width
  const outputs = (layers - 1) * (heads * settings.headHidden + neurons * settings.neuronHidden)
  const trained = outputs + width * (settings.headHidden + settings.neuronHidden)
  const kinds = new Set(methods.map(predictorKindOf)).size
  // One token at a time is bound by memory: about four times the cost.
  const alone = 4 * continuation
  const scored = methods.reduce(
    (total, { planner, sparsity }) =>
      total + (1 - 0.7 * sparsity) * (planner === 'dejavu' ? prompt + alone : window),
    0,
  )
  return {
    prepare: 40 * window,
    calibrate: 3 * window * calibration * new Set(methods.map(({ examples }) => examples?.pruned)).size,
    train: (3 * training.epochs * calibration * trained * kinds) / parameters,
    evaluate: (scored + 6 * window) * evaluation,
    decode: methods.length * decode.rounds * (decode.prompt + 4 * decode.tokens),
  }
}
