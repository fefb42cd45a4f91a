/**
 * The main job: ShadowLLM from calibration to perplexity and speed, beside its baselines, on one model and one text.
 *
 * 1. calibrate  a criterion's scores of every unit, by real backward passes over documents of every genre
 * 2. train      the predictor, from prompts' layer-0 contexts to those scores
 * 3. evaluate   perplexity of continuations from documents never calibrated on, under masks decided by the prompt:
 *               every planner at every sparsity scores the same windows, window by window
 * 4. decode     tokens per second with units really skipped, the planner's time included, arms in turns
 *
 * The oracle alone sees answers; it bounds what a predictor can reach with this criterion. Being stopped is no failure:
 * what was finished is reported, over the windows that every arm has scored.
 */
import { criterionByName, type Criterion } from '../criteria/index.ts'
import type { Scope } from '../masks/budget.ts'
import { backendTopK, type UnitScores } from '../masks/selection.ts'
import type { OptModel } from '../model/opt/opt_model.ts'
import { now } from '../platform/platform.ts'
import { plannerNames, type PlannerName } from '../predictor/planners.ts'
import { shadowDefaults, unitKinds, type ShadowCard, type UnitKind } from '../predictor/card.ts'
import type { ShadowPredictor } from '../predictor/shadow.ts'
import { UsageError } from '../tensor/errors.ts'
import { Random } from '../tensor/random.ts'
import { pause } from '../train/pause.ts'
import { trainPredictor, type Example } from '../train/train_predictor.ts'
import { makeArms, type Arm, type PlannerInputs } from './arms.ts'
import { calibrate, calibrateWindow, meanScores } from './calibrate.ts'
import { loadBrown, splitDocuments, type Document } from './corpus.ts'
import { measureDecode } from './decode.ts'
import { compareScores, scoreWindow, type WindowScore } from './perplexity.ts'
import { hashFiles, hashTexts, makeProvenance } from './provenance.ts'
import type { Comparison, ReproduceReport, ReproduceRow } from './report.ts'
import { fullSettings, quickSettings, type Settings } from './settings.ts'
import { cutWindows, drawWindows, makeWordEncoder, type Encode, type Window } from './windows.ts'
import { WorkMeter } from './work.ts'

/** What a run is of; all but the model and the way to its text has a default. */
export interface ReproduceOptions {
  readonly model: OptModel
  /** What the model is called in the report, and the files it was read from, hashed for the provenance. */
  readonly modelName: string
  readonly modelFiles: readonly string[]
  /** Text to ids, nothing added. */
  readonly encode: Encode
  /** Default: the Brown corpus. Each genre is split into documents to calibrate on and others to evaluate on. */
  readonly documents?: readonly Document[]
  readonly dataName?: string
  /** A run of less than a minute on the embedded model. */
  readonly quick?: boolean
  /** Settings that differ from those of `quick` or of the full run. */
  readonly settings?: Partial<Settings>
  /** Which planners to compare; dense is always there. Default: all. */
  readonly planners?: readonly PlannerName[]
  /** Default: plainact. */
  readonly criterion?: string
  /** Default: global. */
  readonly scope?: Scope
  /** Default: 0. */
  readonly seed?: number
  /** Given the trained predictor, which lives until the run ends. */
  readonly onPredictor?: (predictor: ShadowPredictor) => void | Promise<void>
  /** The command line, for the provenance. */
  readonly argv?: readonly string[]
}

export const reproduceStages = ['prepare', 'calibrate', 'train', 'evaluate', 'decode'] as const
export type ReproduceStage = (typeof reproduceStages)[number]

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
 * @throws UsageError SETTINGS for sizes the model has no room for, WINDOWS for text too short, CRITERION_NAME,
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
    await run.calibrate()
    await run.train()
    await run.evaluate()
    await run.decode()
    run.complete = true
  } catch (error) {
    if (!signal?.aborted || error !== signal.reason) throw error
  } finally {
    run.dispose()
  }
  return run.report()
}

/** One run and what it has so far. */
class Run {
  complete = false
  readonly #options: ReproduceOptions
  readonly #settings: Settings
  readonly #criterion: Criterion
  readonly #seed: number
  readonly #arms: readonly Arm[]
  readonly #signal: AbortSignal | undefined
  readonly #tell: (stage: ReproduceStage, done: number, total: number) => void
  readonly #started = now()
  readonly #examples: Example[] = []
  #documents: readonly Document[] = []
  #windows: { calibration: Window[]; evaluation: Window[] } = { calibration: [], evaluation: [] }
  #mean: UnitScores | null = null
  #predictor: ShadowPredictor | null = null
  #predictorLoss: Record<UnitKind, number> | null = null
  /** The true scores of the first window, for the decode arm of the oracle. */
  #firstTruth: UnitScores | null = null

  constructor(
    options: ReproduceOptions,
    onProgress: (progress: ReproduceProgress) => void,
    signal: AbortSignal | undefined,
  ) {
    this.#options = options
    this.#settings = { ...(options.quick ? quickSettings : fullSettings), ...options.settings }
    this.#criterion = criterionByName(options.criterion ?? 'plainact')
    this.#seed = options.seed ?? 0
    const planners = options.planners ?? plannerNames
    this.#arms = makeArms(planners, this.#settings.sparsities, options.scope ?? 'global')
    this.#signal = signal
    checkSettings(this.#settings, options.model.config.positions)
    const meter = new WorkMeter(expectedWork(options.model, this.#settings, this.#arms))
    this.#tell = (stage, done, total) => {
      onProgress({ stage, done, total, secondsLeft: meter.update(stage, total > 0 ? done / total : 1) })
    }
  }

  /** Text to windows. */
  async prepare(): Promise<void> {
    this.#tell('prepare', 0, 1)
    await pause(this.#signal)
    const { documents, encode, model } = this.#options
    const { prompt, continuation, calibration, evaluation } = this.#settings
    this.#documents = documents ?? (await loadBrown())
    const split = splitDocuments(this.#documents)
    const encodeWords = makeWordEncoder(encode)
    const sizes = { prompt, continuation, bosId: model.config.bosId }
    const draw = async (part: readonly Document[], count: number): Promise<Window[]> => {
      await pause(this.#signal)
      const windows = drawWindows(part, count, this.#seed, (document) =>
        cutWindows(document, encodeWords, sizes),
      )
      if (windows.length > 0) return windows
      throw new UsageError(
        'WINDOWS',
        `text: expected documents of ${prompt + continuation} tokens or more in both parts, got none`,
      )
    }
    this.#windows = {
      calibration: await draw(split.calibrate, calibration),
      evaluation: await draw(split.evaluate, evaluation),
    }
    this.#tell('prepare', 1, 1)
  }

  /** Scores and contexts of the calibration windows; nothing if no planner needs them. */
  async calibrate(): Promise<void> {
    if (!this.#has('static') && !this.#has('shadow')) return
    const { calibration } = this.#windows
    this.#tell('calibrate', 0, calibration.length)
    for await (const example of calibrate(this.#options.model, calibration, this.#criterion, this.#signal)) {
      this.#examples.push({ context: example.context, scores: example.scores })
      this.#tell('calibrate', this.#examples.length, calibration.length)
    }
    this.#mean = meanScores(this.#examples)
  }

  /** The predictor. */
  async train(): Promise<void> {
    if (!this.#has('shadow')) return
    const { model } = this.#options
    const { training, ...settings } = this.#settings
    const card: ShadowCard = {
      ...shadowDefaults,
      shape: model.shape,
      width: model.config.width,
      headHidden: settings.headHidden,
      neuronHidden: settings.neuronHidden,
      features: settings.features,
      targets: settings.targets,
      criterion: this.#criterion.name,
      seed: this.#seed,
      examples: this.#examples.length,
      dataHash: await hashTexts(this.#documents),
    }
    const epochs = unitKinds.length * training.epochs
    this.#tell('train', 0, epochs)
    const { predictor, heldOut } = await trainPredictor(model.backend, card, this.#examples, {
      ...training,
      signal: this.#signal,
      onEpoch: ({ kind, epoch }) =>
        this.#tell('train', unitKinds.indexOf(kind) * training.epochs + epoch, epochs),
    })
    this.#predictor = predictor
    this.#predictorLoss = { ...heldOut }
    await this.#options.onPredictor?.(predictor)
    this.#tell('train', epochs, epochs)
  }

  /** Every arm on every window; a window counts when every arm has scored it. */
  async evaluate(): Promise<void> {
    const { model } = this.#options
    const { evaluation } = this.#windows
    const seeds = new Random(this.#seed)
    const total = evaluation.length * this.#arms.length
    let done = 0
    this.#tell('evaluate', 0, total)
    for (const window of evaluation) {
      const truth = this.#has('oracle') ? calibrateWindow(model, window, this.#criterion).scores : null
      this.#firstTruth ??= truth
      const seed = seeds.uint32()
      const scores: WindowScore[] = []
      for (const arm of this.#arms) {
        await pause(this.#signal)
        scores.push(scoreWindow(model, window, { planner: arm.plan(this.#inputs(), truth, seed) }))
        this.#tell('evaluate', ++done, total)
      }
      this.#arms.forEach((arm, i) => arm.add(scores[i], model.config.width))
    }
  }

  /** The speed of every arm, on the prompt of the first window. */
  async decode(): Promise<void> {
    const { model } = this.#options
    const { decode } = this.#settings
    const prompt = this.#windows.evaluation[0].tokens.slice(0, decode.prompt)
    const planners = this.#arms.map((arm) => arm.plan(this.#inputs(), this.#firstTruth, this.#seed))
    const onTurn = (done: number, total: number): void => this.#tell('decode', done, total)
    const speeds = await measureDecode(model, prompt, planners, decode, onTurn, this.#signal)
    this.#arms.forEach((arm, i) => (arm.tokensPerSecond = speeds[i]))
  }

  dispose(): void {
    this.#predictor?.dispose()
  }

  async report(): Promise<ReproduceReport> {
    const { model, modelName, modelFiles, argv = [], dataName, documents } = this.#options
    const scored = this.#arms.filter((arm) => arm.sum.windows > 0)
    return {
      rows: scored.map((arm) => this.#row(arm)),
      provenance: await makeProvenance({
        backend: model.backend.name,
        model: { name: modelName, hash: await hashFiles(modelFiles) },
        data: {
          name: dataName ?? (documents ? 'documents' : 'Brown corpus'),
          hash: await hashTexts(this.#documents),
        },
        seed: this.#seed,
        argv,
      }),
      complete: this.complete,
      calibrationWindows: this.#examples.length,
      evaluationWindows: this.#arms[0].sum.windows,
      predictorLoss: this.#predictorLoss,
      shadowAgainstStatic: compareWithStatic(scored),
      seconds: (now() - this.#started) / 1000,
    }
  }

  #row(arm: Arm): ReproduceRow {
    const decides = arm.planner !== 'dense' && arm.planner !== 'random'
    return {
      planner: arm.planner,
      criterion: decides ? this.#criterion.name : 'none',
      scope: arm.budget.scope,
      sparsity: arm.sparsity,
      seed: this.#seed,
      achieved: arm.achieved,
      tokenPerplexity: arm.sum.tokenPerplexity,
      wordPerplexity: arm.sum.wordPerplexity,
      decodeTokensPerSecond: arm.tokensPerSecond,
    }
  }

  #has(planner: PlannerName): boolean {
    return this.#arms.some((arm) => arm.planner === planner)
  }

  #inputs(): PlannerInputs {
    const { model } = this.#options
    return {
      shape: model.shape,
      topK: backendTopK(model.backend),
      mean: this.#mean,
      predictor: this.#predictor,
    }
  }
}

/** Shadow against static at every sparsity that has both. */
function compareWithStatic(arms: readonly Arm[]): Comparison[] {
  return arms.flatMap((arm) => {
    const fixed = arms.find((other) => other.planner === 'static' && other.sparsity === arm.sparsity)
    if (arm.planner !== 'shadow' || !fixed) return []
    const { nats, error } = compareScores(arm.sum.scores, fixed.sum.scores)
    return [{ sparsity: arm.sparsity, nats, error: Number.isNaN(error) ? null : error }]
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
  arms: readonly Arm[],
): Record<ReproduceStage, number> {
  const { layers, width, neurons, heads, vocabulary } = model.config
  const { prompt, continuation, calibration, evaluation, training, decode } = settings
  const window = prompt + continuation
  const parameters = layers * (4 * width * width + 2 * neurons * width) + vocabulary * width
  const outputs = (layers - 1) * (heads * settings.headHidden + neurons * settings.neuronHidden)
  const trained = outputs + width * (settings.headHidden + settings.neuronHidden)
  const skipping = arms.reduce((total, arm) => total + 1 - 0.7 * arm.sparsity, 0)
  return {
    prepare: 40 * window,
    calibrate: 3 * window * calibration,
    train: (3 * training.epochs * calibration * trained) / parameters,
    evaluate: (skipping + 3) * window * evaluation,
    // One token at a time is bound by memory: about four times the cost.
    decode: arms.length * decode.rounds * (decode.prompt + 4 * decode.tokens),
  }
}
