/**
 * Planners by name for one loaded model: the options that choose one, and the files they read.
 *
 * Predictors and a calibration are read once and kept. The predictor beside the model (io/named_predictor.ts) is read when
 * the shadow planner is first used and no other shadow predictor was loaded.
 */
import type { Calibration } from '../calibration/open.ts'
import {
  compareMethods,
  expectCompensated,
  makeMethod,
  makeMethodAsLearnt,
  methodBudget,
  planMethod,
  readsMoments,
  type ComparedMethods,
  type ComparedPlanners,
  type Method,
  type MethodSources,
} from '../results/method.ts'
import { scopeOption, shareOption, type Budget, type Scope } from '../masks/budget.ts'
import type { HeldMoments } from '../compensation/held_moments.ts'
import {
  compensateOption,
  promptShareOption,
  ridgeOption,
  type CompensationName,
} from '../masks/compensation.ts'
import { everyOption, prefillOption, type MaskPlanner, type Prefill } from '../masks/planner.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import type { SequenceOptions } from '../engine/sequence.ts'
import { isThere } from '../io/files.ts'
import { findPredictor, ownPredictor } from '../io/named_predictor.ts'
import { needs, plannerNames, plannersThat, predictorKindOf, type PlannerName } from '../planners/index.ts'
import { calibrationMissing, expectWays, predictorMissing } from '../planners/make.ts'
import type { PredictorKind } from '../predictor/predictor_config.ts'
import type { LearntUse, Predictor } from '../predictor/predictor_file.ts'
import { checkPredictor } from '../predictor/suitable.ts'
import { UsageError } from '../tensor/errors.ts'
import { kinds, nameOption, seedOption, type Kinds, type NameOption } from '../tensor/option.ts'
import { recordOf } from '../tensor/records.ts'
import { featureWidths, isGated } from '../engine/config.ts'
import { sha256File } from '../platform/platform.ts'
import { criterionOption, MOMENTS_CRITERION } from '../criteria/index.ts'
import { holdMoments, momentPaths, type MomentPlaces } from '../compensation/open_moments.ts'

/** A planner that needs no continuation, so that it can be used while text is generated. */
export type GenerationPlanner = Exclude<PlannerName, 'oracle'>
/** All of them. */
export const generationPlanners: GenerationPlanner[] = plannersThat(
  (planner) => !planner.needs.includes('continuation'),
) as GenerationPlanner[]
/** A planner that is meant where none is named. */
export type UsualPlanner = Extract<PlannerName, 'dense' | 'shadow' | 'griffin' | 'glass'>
const generationNames = nameOption('PLANNER', generationPlanners)
/** One of them. */
export const generationOption: NameOption<GenerationPlanner> = {
  ...generationNames,
  hint: (value) =>
    plannerNames.some((name) => name === value)
      ? ` (${value as PlannerName} sees the text that follows: masks and perplexity take it)`
      : (generationNames.hint?.(value) ?? ''),
}

/** How much is skipped, and which scores decide. */
export interface PlannerChoice {
  /** The share of heads and neurons that is skipped, from 0 to 1; default 0.5. `dense` skips nothing. A planner that decides about neurons skips that share of these alone; one of input channels masks that share of them, and no unit. */
  readonly sparsity?: number
  /** The share of heads, if it differs from that of neurons. */
  readonly headSparsity?: number
  /** The share of neurons, if it differs from that of heads. */
  readonly neuronSparsity?: number
  /** Which units compete: those of the model or those of a layer; default `global`, or as the predictor of `shadow` was learnt. */
  readonly scope?: Scope
  /** The criterion of the oracle, of the prompt and of mean scores; default `plainact`. */
  readonly criterion?: string
  /**
   * Decide again after every so many tokens, or with `auto` where attention has shifted (masks/shift.ts). Default: the mask of
   * the prompt stays; planners that decide layer by layer or by the token itself do so at every token.
   */
  readonly every?: number | 'auto'
  /**
   * Whether the prompt runs `dense` and the mask applies to what follows it, or the prompt runs `masked` too. Default:
   * `masked`, but `dense` for planners that are shown what it computes, such as `griffin` and `cats`, and as the predictor of
   * `shadow` was learnt.
   */
  readonly prefill?: Prefill
  /**
   * What takes the place of what is skipped, by the moments of a calibration (`calibrate --moments`): `none` (default) leaves zeros,
   * `mean` their mean, `least-squares` what the units that are kept say of them. A token costs no more than before.
   */
  readonly compensate?: CompensationName
  /** λ of least squares, beside the mean square of a unit; default 0.01. */
  readonly ridge?: number
  /** The share of the prompt in the moments, from 0 (default) to 1. Above 0 the prompt runs dense. */
  readonly promptShare?: number
  /** Select as the released code of ShadowLLM does: layer 0 ranked but forced dense, whole percentages. */
  readonly paperCompatible?: boolean
  /** Seed of sampling and of the random planner; default 0. */
  readonly seed?: number
}

/** Which units are computed, and how. */
export interface PlanOptions extends PlannerChoice, Pick<SequenceOptions, 'mode'> {
  /**
   * Default `dense`; if a sparsity is given, that of `ShadowModel.usualPlanner`. Some need a predictor (see `loadPredictor`) or a calibration (see
   * `loadCalibration`). A planner object decides itself how much it skips, when and how: no option of
   * `PlannerChoice` but `seed`, which is the sampler's too, may stand beside it. `givenMask` makes one of a mask.
   */
  readonly planner?: GenerationPlanner | MaskPlanner
  /**
   * Run every so many written tokens again dense, and put the dense choice in the place of the first that is another: the text
   * is that of the dense model (engine/next_tokens.ts). The prompt then runs dense by default, and may not run masked; a
   * planner that decides again now and then is refused. The tokens after the first are handed out when they are checked.
   */
  readonly check?: number
  /** Ends the work; the call then throws the signal's reason. */
  readonly signal?: AbortSignal
}

/** Refuses shares to skip where all planners are dense. @throws UsageError SPARSITY */
export function expectSkipping(planners: readonly string[], shares: readonly number[]): void {
  if (planners.some((name) => name !== 'dense') || shares.every((share) => share === 0)) return
  throw new UsageError(
    'SPARSITY',
    `planner dense: expected no sparsity, because it skips nothing, got ${shares.join(',')}`,
    { option: 'sparsity' },
  )
}

/** Refuses options that would have no effect beside a planner object. @throws UsageError PLANNER */
export function expectNoChoice({ name }: MaskPlanner, options: PlannerChoice): void {
  const { seed: _, ...choice } = choiceOf(options)
  const named = Object.entries(choice).find(([, value]) => value !== undefined)
  if (named === undefined) return
  const [option, value] = named
  const isOwn = option === 'every' || option === 'prefill'
  throw new UsageError(
    'PLANNER',
    `planner ${name}: expected no ${option} beside a planner object, which decides that itself, got ${value}${isOwn ? `; set ${option} in the planner` : ''}`,
    { option },
  )
}

/**
 * Refuses a planner that cannot run as these options ask, whatever the model: known before the weights are read. The model's own
 * predictor may serve `shadow`.
 * @param named the files by which it may decide
 * @throws UsageError SPARSITY, SCOPE, EVERY, PREFILL, COMPENSATE; MissingError CALIBRATION_MISSING, PREDICTOR_MISSING
 */
export function expectPlanner(
  name: PlannerName,
  options: PlannerChoice,
  named: { readonly predictor: readonly string[]; readonly calibration?: string },
): void {
  const method = methodOf(name, options)
  methodBudget(method)
  expectCompensated(method)
  const { compensate = 'none', promptShare = 0 } = options
  const compensation = compensate === 'none' ? undefined : { seesPrompt: promptShare > 0 }
  expectWays(name, { every: options.every, prefill: options.prefill, compensation })
  const asksMean = needs(name, 'calibration') && method.criterion !== MOMENTS_CRITERION
  if (asksMean && named.calibration === undefined) throw calibrationMissing(name)
  const kind = predictorKindOf(name)
  if (kind !== null && kind !== 'shadow' && named.predictor.length === 0) throw predictorMissing(kind)
}

/** The options of `PlannerChoice`. */
export const choiceKinds: Kinds<PlannerChoice> = {
  sparsity: shareOption,
  headSparsity: shareOption,
  neuronSparsity: shareOption,
  scope: scopeOption,
  criterion: criterionOption,
  every: everyOption,
  prefill: prefillOption,
  compensate: compensateOption,
  ridge: ridgeOption,
  promptShare: promptShareOption,
  paperCompatible: kinds.flag,
  seed: seedOption,
}

/** Those of some options that choose a planner. */
export function choiceOf(options: PlannerChoice): PlannerChoice {
  return recordOf(
    Object.keys(choiceKinds) as (keyof PlannerChoice)[],
    (name) => options[name],
  ) as PlannerChoice
}

/** The method of these options. @param learnt for which masks the predictor of the planner was learnt */
function methodOf(planner: PlannerName, options: PlannerChoice, learnt: LearntUse | null = null): Method {
  const { sparsity = 0.5, criterion = 'plainact', seed: _, ...choice } = choiceOf(options)
  return makeMethodAsLearnt({ planner, criterion, sparsity, ...choice }, learnt)
}

/** The budget of these options. @throws UsageError SPARSITY, SCOPE */
export function budgetOf(options: PlannerChoice): Budget {
  return methodBudget(methodOf('random', options))
}

/** The predictors and the calibration of one model. Dispose it. */
export class PlannerFiles {
  readonly #model: LanguageModel
  readonly #beside: string
  /** Files that are being read. */
  readonly #pending = new Set<Promise<unknown>>()
  /** The current predictor of each kind. */
  readonly #predictors = new Map<Predictor['kind'], Predictor>()
  /** Where they were read from. */
  readonly #files = new Map<Predictor['kind'], string>()
  /** For which masks that of `shadow` was learnt. */
  #learnt: LearntUse | null = null
  /** All that were read: a running generation may still use an earlier one. */
  readonly #read: Predictor[] = []
  #own: Promise<unknown> | null = null
  #hasNamedShadow = false
  #calibration: Calibration | null = null
  readonly #means = new Map<string, UnitScores>()
  /** Files of moments, and what they hold once it is asked for. */
  readonly #momentFiles: string[] = []
  #moments: Promise<HeldMoments> | null = null
  #disposed = false

  /** @param beside the path of the model's own predictor, which may be missing */
  constructor(model: LanguageModel, beside: string) {
    this.#model = model
    this.#beside = beside
  }

  /**
   * Reads a predictor of any kind, from a file or by its name in this package; it replaces an earlier one of its kind.
   * @throws InputError PREDICTOR_MODEL, and what `openPredictor` throws; UsageError DISPOSED
   */
  async loadPredictor(path: string): Promise<PredictorKind> {
    const kind = await this.#whilePending(this.#readPredictor(path))
    if (kind === 'shadow') this.#hasNamedShadow = true
    return kind
  }

  /**
   * Opens a calibration; it replaces an earlier one.
   * @throws InputError CALIBRATION_MODEL, and what `openCalibration` throws
   */
  loadCalibration(folder: string): Promise<void> {
    return this.#whilePending(this.#readCalibration(folder))
  }

  /** Adds a file of moments to those of the calibration: texts that are mixed by the prompt. */
  addMoments(path: string): void {
    this.#momentFiles.push(path)
    this.#moments = null
  }

  /** As `ShadowModel.usualPlanner`. */
  async usual({
    sparsity,
    headSparsity,
    neuronSparsity,
    prefill,
    every,
  }: PlannerChoice): Promise<UsualPlanner> {
    if ((sparsity ?? headSparsity ?? neuronSparsity) === undefined) return 'dense'
    const isRefused = (headSparsity ?? 0) > 0 || prefill === 'masked' || every !== undefined
    if (isRefused || !isGated(this.#model.config) || this.#hasNamedShadow) return 'shadow'
    await Promise.all(this.#pending)
    if (await isThere(this.#beside)) return 'shadow'
    return this.#calibration === null ? 'griffin' : 'glass'
  }

  /**
   * The planner of a name; null is dense.
   * @param oracleScores the scores of the oracle
   * @throws UsageError PLANNER for an unknown name, SPARSITY, SCOPE, CRITERION_NAME; MissingError PREDICTOR_MISSING,
   *   CALIBRATION_MISSING, PLANNER_SOURCE; and as for every file that is read
   */
  async planner(
    name: PlannerName,
    options: PlannerChoice,
    oracleScores?: UnitScores,
  ): Promise<MaskPlanner | null> {
    // An invalid sparsity is refused before a file is read.
    methodBudget(methodOf(name, options))
    await Promise.all(this.#pending)
    const kind = predictorKindOf(name)
    const predictor = kind ? await this.#predictor(kind) : undefined
    const method = methodOf(name, options, this.#learntBy(name))
    const moments = readsMoments(method) ? await this.#held(name) : undefined
    const asksMean = needs(name, 'calibration') && method.criterion !== MOMENTS_CRITERION
    const inputs = {
      mean: asksMean ? await this.#mean(name, method.criterion) : undefined,
      predictor,
      moments,
    }
    return planMethod(this.#model, method, inputs, { seed: options.seed, oracleScores })
  }

  /**
   * The methods of a comparison, and what they decide by.
   * @throws as `sources` and `compareMethods`
   */
  async compared(compared: ComparedPlanners): Promise<ComparedMethods> {
    await Promise.all(this.#pending)
    const { planners, criterion = 'plainact', compensate } = compared
    const sources = await this.sources(planners, { criterion, compensate })
    return { methods: compareMethods(this.#model, { ...compared, sources, learnt: this.#learnt }), sources }
  }

  /**
   * What methods of these planners decide by; `shadow` asks the model's own predictor where none was loaded.
   * @throws MissingError PREDICTOR_MISSING, CALIBRATION_MISSING, MOMENTS_MISSING; InputError as for every file that is read
   */
  async sources(
    planners: readonly PlannerName[],
    how: Pick<Method, 'criterion' | 'compensate'>,
  ): Promise<MethodSources & { readonly predictors: Predictor[] }> {
    if (planners.includes('shadow')) await this.#predictor('shadow')
    const ranking = planners.find((name) => needs(name, 'calibration'))
    const reading = planners.find(
      (planner) => planner !== 'dense' && readsMoments(makeMethod({ planner, sparsity: 0, ...how })),
    )
    const asksMean = ranking !== undefined && how.criterion !== MOMENTS_CRITERION
    return {
      mean: asksMean ? await this.#mean(ranking, how.criterion) : undefined,
      predictors: [...this.#predictors.values()],
      moments: reading === undefined ? undefined : await this.#held(reading),
    }
  }

  /**
   * All by which a planner of these options decides, in words: equal words, equal decisions.
   * @param planner the planner that was made of them; null is dense
   */
  async words(planner: MaskPlanner | null, options: PlanOptions): Promise<string> {
    const {
      planner: name = await this.usual(options),
      check,
      prefill = check === undefined ? undefined : 'dense',
    } = options
    if (planner === null) return 'dense'
    const isObject = typeof name === 'object'
    const { planner: named, ...described } = isObject
      ? {
          planner: planner.name,
          by: planner.by,
          every: planner.every,
          shift: planner.shift,
          prefill: planner.prefill,
        }
      : await this.#described(name, methodOf(name, { ...options, prefill }, this.#learntBy(name)))
    const known = Object.entries({ ...described, checked: check === undefined ? undefined : 'dense' })
    return [named, ...known.flatMap(([key, value]) => (value === undefined ? [] : [`${key} ${value}`]))].join(
      ', ',
    )
  }

  async #described(
    name: PlannerName,
    method: Method,
  ): Promise<Method & Partial<Record<'from' | 'moments', string>>> {
    const files = readsMoments(method) ? await momentPaths(this.#momentPlaces(), name) : []
    const moments = []
    for (const path of files) moments.push((await sha256File(path)).slice(0, 12))
    return {
      ...method,
      from: await this.#source(name),
      moments: moments.length > 0 ? moments.join(' ') : undefined,
    }
  }

  #learntBy(name: PlannerName): LearntUse | null {
    return name === 'shadow' ? this.#learnt : null
  }

  #momentPlaces(): MomentPlaces {
    return { calibration: this.#calibration?.path ?? null, files: this.#momentFiles }
  }

  /** The start of the SHA-256 of the file that a planner decides by. */
  async #source(name: PlannerName): Promise<string | undefined> {
    const kind = predictorKindOf(name)
    const hash = needs(name, 'calibration')
      ? this.#calibration?.identity
      : kind && (await sha256File(this.#files.get(kind) as string))
    return hash?.slice(0, 12)
  }

  /** Frees every predictor. Safe to call twice. */
  dispose(): void {
    this.#disposed = true
    for (const predictor of this.#read.splice(0)) predictor.dispose()
  }

  async #whilePending<T>(reading: Promise<T>): Promise<T> {
    this.#pending.add(reading)
    try {
      return await reading
    } finally {
      this.#pending.delete(reading)
    }
  }

  async #predictor(kind: PredictorKind): Promise<Predictor> {
    if (kind === 'shadow' && !this.#predictors.has(kind)) {
      const own = await ownPredictor(this.#beside, this.#model.config)
      if (own !== null) await (this.#own ??= this.#readOwn(own))
    }
    const found = this.#predictors.get(kind)
    if (found) return found
    throw predictorMissing(kind, kind === 'shadow' ? `, not even ${this.#beside}` : '')
  }

  /** What fails, as where memory runs out, is tried again when it is next asked for. */
  async #readOwn(path: string): Promise<void> {
    try {
      await this.#readPredictor(path)
    } catch (error) {
      this.#own = null
      throw error
    }
  }

  async #readPredictor(path: string): Promise<PredictorKind> {
    const { learntUse, openPredictor } = await import('../predictor/predictor_file.ts')
    const file = await findPredictor(path)
    const learnt = await learntUse(file)
    const predictor = await openPredictor(file, this.#model.backend, this.#model.weights.storage)
    try {
      if (this.#disposed) throw new UsageError('DISPOSED', 'the model has been disposed')
      checkPredictor(predictor, this.#model.config, path)
    } catch (error) {
      predictor.dispose()
      throw error
    }
    this.#read.push(predictor)
    this.#predictors.set(predictor.kind, predictor)
    this.#files.set(predictor.kind, file)
    if (predictor.kind === 'shadow') this.#learnt = learnt
    return predictor.kind
  }

  async #readCalibration(folder: string): Promise<void> {
    const { openCalibration } = await import('../calibration/open.ts')
    const calibration = await openCalibration(folder)
    calibration.checkModel({ ...this.#model.shape, ...featureWidths(this.#model.config) })
    this.#calibration = calibration
    this.#means.clear()
    this.#moments = null
  }

  /** The moments of the calibration and of the files that were added. @throws MissingError MOMENTS_MISSING */
  #held(planner: PlannerName): Promise<HeldMoments> {
    return (this.#moments ??= holdMoments(this.#model, this.#momentPlaces(), planner))
  }

  async #mean(planner: PlannerName, criterion: string): Promise<UnitScores> {
    const calibration = this.#calibration
    if (!calibration) throw calibrationMissing(planner)
    const known = this.#means.get(criterion)
    if (known) return known
    const mean = await calibration.aggregate(criterion)
    if (calibration === this.#calibration) this.#means.set(criterion, mean)
    return mean
  }
}
