/**
 * A method: everything that decides which units are kept, as plain data. Whatever is measured is measured of a list of
 * methods, dense first:
 *
 *   Method        planner, criterion, sparsity, scope, what it learnt from, when it decides
 *   MethodInputs  what its planner decides by: mean scores, or a predictor
 *   planMethod    method, inputs -> the planner of one text
 *   evaluate      methods, texts -> scores (evaluation/evaluate.ts); perplexity, tasks and experiments are views of it
 *
 * Two methods with the same description give the same numbers on the same model, text and seed; so a description is also
 * the name under which results are kept (part_store.ts).
 */
import { compensationBy } from '../compensation/compensate.ts'
import type { HeldMoments } from '../compensation/held_moments.ts'
import { criterionByName, MOMENTS_CRITERION } from '../criteria/index.ts'
import { makeBudget, scopeOption, shareOption, type Budget, type Scope } from '../masks/budget.ts'
import {
  compensateOption,
  promptShareOption,
  ridgeOption,
  type Compensation,
  type CompensationName,
} from '../masks/compensation.ts'
import {
  everyOption,
  isDensePrompt,
  prefillOption,
  type MaskPlanner,
  type Prefill,
} from '../masks/planner.ts'
import { backendTopK, type UnitScores } from '../masks/selection.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import type { PredictorChoices } from '../predictor/make_predictor_config.ts'
import {
  defaultEvery,
  defaultPrefill,
  keepsHeads,
  needs,
  plannerOf,
  plannerOption,
  type Every,
  type PlannerName,
} from '../planners/index.ts'
import { makePlanner } from '../planners/make.ts'
import { given, type PlannerSources } from '../planners/record.ts'
import { denseLayers } from '../predictor/predictor_config.ts'
import type { Predictor } from '../predictor/predictor_file.ts'
import { predictorFor } from '../predictor/suitable.ts'
import { isObject } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  checkOptions,
  expectOption,
  kinds,
  listOption,
  nameOption,
  orNull,
  orWord,
  recordOption,
  required,
  wholeOption,
  type Kind,
  type Kinds,
} from '../tensor/option.ts'
import { present } from '../tensor/records.ts'
import type { TrainingOptions } from '../training/predictor_training.ts'

// ---- What a method is ------------------------------------------------------------------------------------------------

/** The ways to make one ranking of many examples (calibration/aggregate.ts). */
export const aggregations = ['mean', 'sum', 'rank', 'per-layer'] as const
/** How the scores of examples are aggregated. */
export type Aggregation = (typeof aggregations)[number]

/** Which examples are calibrated on. */
export interface ExampleSettings {
  /** How many examples. */
  readonly count: number
  /** Null for windows of text; else a task's rows behind so many solved ones. */
  readonly shots: number | null
  /**
   * Neurons are scored in a model that is pruned already, under the static mask of this sparsity made from the same
   * examples' dense scores. Heads keep their dense scores. Default: all in the dense model.
   */
  readonly pruned?: number
}

/** How a predictor is made, every choice of all kinds said, and how it is trained. */
export interface PredictorSettings extends Required<PredictorChoices> {
  /** How its networks are trained. */
  readonly training: Omit<TrainingOptions, 'signal'>
}

/** A planner, a budget, what the planner learnt from, and when it decides. */
export interface Method {
  /** Who decides which units are kept. */
  readonly planner: PlannerName
  /** `none` where no criterion decides: dense, random and planners that rank neurons by what the prompt uses. */
  readonly criterion: string
  /** Share of the ranked units that is to be skipped; 0 for dense. */
  readonly sparsity: number
  /** The share of heads, and of neurons, where it is another. */
  readonly headSparsity?: number
  readonly neuronSparsity?: number
  /** Whether units compete within their layer, or with those of all layers. */
  readonly scope: Scope
  /** After how many tokens it decides again; `once`: never. */
  readonly every: Every
  /** Whether the prompt runs dense, or under the mask that it decides; default: as the planner does by itself. */
  readonly prefill?: Prefill
  /** Planners that rank by mean scores: how examples become one ranking. */
  readonly aggregation?: Aggregation
  /** Planners that learn from examples. */
  readonly examples?: ExampleSettings
  /** Planners that predict. */
  readonly predictor?: PredictorSettings
  /**
   * oracle: instead of the true continuation, the mean over so many that the model itself writes after the prompt. Then
   * the answer is not seen.
   */
  readonly samples?: number
  /** oracle: each half of the continuation is scored under the mask that the other half chooses, so that no token is seen. */
  readonly halves?: boolean
  /** The planner is shown all that is fed. */
  readonly leaky?: boolean
  /** Select as the released code of the paper does. */
  readonly paperCompatible?: boolean
  /** What takes the place of what is skipped, by the moments of a calibration; default none: zeros. */
  readonly compensate?: CompensationName
  /** λ of least squares, beside the mean square of a unit; default `DEFAULT_RIDGE`. */
  readonly ridge?: number
  /** α, the share of the prompt in the moments; default 0. Above 0 the prompt runs dense. */
  readonly promptShare?: number
  /** Layers that run whole; default 1, or what the source layer of the predictor asks for. */
  readonly denseLayers?: number
}

const everyOrOnce = orWord('once', everyOption)
const methodFields: Kinds<Method> = {
  planner: required({
    ...plannerOption,
    hint: (value) =>
      kinds.planner.holds(value) && typeof value !== 'string'
        ? ': textPerplexity takes a planner object itself in its list of methods'
        : (plannerOption.hint?.(value) ?? ''),
  }),
  criterion: required(kinds.text),
  sparsity: required(shareOption),
  headSparsity: shareOption,
  neuronSparsity: shareOption,
  scope: required(scopeOption),
  every: required(everyOrOnce),
  prefill: prefillOption,
  aggregation: nameOption('OPTION_TYPE', aggregations),
  examples: kinds.object,
  predictor: kinds.object,
  samples: wholeOption('OPTION_TYPE', 1),
  halves: kinds.flag,
  leaky: kinds.flag,
  paperCompatible: kinds.flag,
  compensate: compensateOption,
  ridge: ridgeOption,
  promptShare: promptShareOption,
  denseLayers: wholeOption('OPTION_TYPE', 0),
}
/** The fields that `makeMethod` is given; it says those that are left out. */
const givenFields: Kinds<Parameters<typeof makeMethod>[0]> = {
  ...methodFields,
  criterion: kinds.text,
  scope: scopeOption,
  every: everyOrOnce,
}

const methodOption = recordOption('a method', methodFields, 'closed')
/** A list of methods, as measurements take it. */
export const methodsOption: Kind = listOption(
  'a list of methods of makeMethod or compareMethods',
  methodOption,
)
/** The same, with planner objects among them. */
export const measuredMethodsOption: Kind = listOption(
  'a list of methods of makeMethod or compareMethods, or planner objects',
  {
    words: 'a method or a planner object',
    holds: (value) => (isPlannerObject(value) ? kinds.planner.holds(value) : methodOption.holds(value)),
    hint: (value) =>
      isPlannerObject(value) ? ' without a name for its row' : (methodOption.hint?.(value) ?? ''),
  },
)

/**
 * One method to be measured: which planner decides, how much it skips, and when. It is plain data that `textPerplexity` and `runTasks`
 * take in the list `methods`; `compareMethods` makes a whole list and checks it. What is left out has its default: no criterion, global
 * scope, a decision when the planner decides by itself. Planners that rank neurons by the prompt do so within each layer, whatever
 * the scope.
 * @param given a planner and its sparsity, and what differs from the defaults
 * @throws UsageError OPTIONS for no object, OPTION_NAME for a field that a method has not; PLANNER, SPARSITY and the code of each other field
 *   for its value
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { makeMethod, textPerplexity } from 'shadowllm/eval'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const methods = [
 *   makeMethod({ planner: 'dense', sparsity: 0 }),
 *   makeMethod({ planner: 'prompt-plainact', criterion: 'plainact', sparsity: 0.5 }),
 *   makeMethod({ planner: 'griffin', sparsity: 0.5 }),
 * ]
 * const stream = 'Once upon a time, there was a little dog who liked to play in the park. '.repeat(20)
 * const text = { name: 'dog', stream, pages: [] }
 * const report = await textPerplexity({ ...opt.measured, text, methods, context: 64, windows: 2 })
 * for (const { planner, klPerToken } of report.rows) console.log(planner, klPerToken.toFixed(3))
 * await opt.dispose()
 * ```
 */
export function makeMethod(given: Pick<Method, 'planner' | 'sparsity'> & Partial<Method>): Method {
  checkOptions(given, givenFields, 'field')
  const { planner, every = defaultEvery(planner), scope = 'global' } = given
  const { compensate: _by, ridge: _ridge, promptShare: _share, ...zeros } = given
  // Dense skips nothing, and makes up for nothing.
  const own = planner === 'dense' ? zeros : given
  const method = { criterion: 'none', ...own, scope, every } as const
  return keepsHeads(planner) ? { ...method, scope: 'per-layer' } : method
}

/** What a predictor is meant for, and a method asks where nothing else is said. */
export type LearntUse = Pick<Partial<Method>, 'scope' | 'prefill' | 'headSparsity' | 'neuronSparsity'>

/**
 * A method as its predictor was learnt, where nothing else is asked. A leaky planner and the released code have settings of their own.
 * @param learnt what the predictor of the planner says (`learntUse`); null where it says nothing
 */
export function makeMethodAsLearnt(
  given: Parameters<typeof makeMethod>[0],
  learnt: LearntUse | null = null,
): Method {
  const { leaky = false, paperCompatible = false, promptShare = 0 } = given
  const own = leaky || paperCompatible ? null : learnt
  // With a share in the moments the prompt runs dense.
  const prefill = promptShare > 0 ? undefined : own?.prefill
  return makeMethod({ ...own, prefill, ...present(given) } as typeof given)
}

/** Whether a method reads moments: it makes up for what it skips, or ranks by what cannot be recovered. */
export function readsMoments({ planner, criterion, compensate = 'none' }: Method): boolean {
  return compensate !== 'none' || (criterion === MOMENTS_CRITERION && needs(planner, 'calibration'))
}

/** How the prompt runs under a method or a planner object. The mask of a leaky planner is known before the prompt runs. */
export function prefillOf(measured: Method | MaskPlanner): Prefill {
  if (isPlannerObject(measured)) return isDensePrompt(measured) && !measured.leaky ? 'dense' : 'masked'
  const { planner, prefill, leaky = false, promptShare = 0 } = measured
  return prefill ?? (leaky ? 'masked' : promptShare > 0 ? 'dense' : defaultPrefill(planner))
}

/** The method that skips nothing. */
export const denseMethod: Method = makeMethod({ planner: 'dense', sparsity: 0 })

/** Whether a method learns from examples. */
export function learns({ planner, criterion }: Method): boolean {
  const ranks = needs(planner, 'calibration') && criterion !== MOMENTS_CRITERION
  return ranks || needs(planner, 'predictor')
}

/** Whether what is measured is a planner object, and no method. */
export function isPlannerObject(measured: unknown): measured is MaskPlanner {
  return isObject(measured) && 'by' in measured
}

/** The cells of a table row that describe a method. */
export type MethodRow = Pick<Method, 'planner' | 'criterion' | 'scope' | 'sparsity'>

/** How the released code scales what a predictor sees and what it learns. */
export const releasedScalings = {
  features: 'min_max',
  targets: 'per_layer',
} as const satisfies Partial<PredictorSettings>
/** What follows the name of such a method. */
export const AS_RELEASED = ', as released'

/** Whether a predictor is trained as in the released code. */
export function isReleased({ examples, predictor }: Method): boolean {
  const { features, targets } = releasedScalings
  return examples?.pruned === undefined && predictor?.features === features && predictor.targets === targets
}

/** What follows the name of a method that makes up for what it skips: how, and whether the prompt has a share. */
export function compensationWords({ compensate = 'none', promptShare = 0 }: Method): string {
  if (compensate === 'none') return ''
  return `, ${compensate.replace('-', ' ')}${promptShare > 0 ? ' with the prompt' : ''}`
}

/** A criterion and how it was measured, such as `plainact@0.7`, or as the released code does; and what takes the place of units. */
export function criterionName(method: Method): string {
  const { criterion, examples } = method
  const more = compensationWords(method)
  if (isReleased(method)) return `${criterion}${AS_RELEASED}${more}`
  return `${criterion}${examples?.pruned === undefined ? '' : `@${examples.pruned}`}${more}`
}

/** The first cells of every table row. */
export function methodRow(method: Method): MethodRow {
  const { planner, scope, sparsity } = method
  return { planner, criterion: criterionName(method), scope, sparsity }
}

/** Dense, then what `make` gives for every other planner at every sparsity. */
export function methodTable<Name extends PlannerName>(
  planners: readonly Name[],
  sparsities: readonly number[],
  scope: Scope,
  make: (planner: Name, sparsity: number) => Method | readonly Method[],
): Method[] {
  const others = planners.filter((planner) => planner !== 'dense')
  return [
    { ...denseMethod, scope },
    ...sparsities.flatMap((sparsity) => others.flatMap((planner) => make(planner, sparsity))),
  ]
}

// ---- What it decides by ----------------------------------------------------------------------------------------------

/** The inputs of a method that are the same for every text. */
export interface MethodInputs {
  /** Planners that rank by mean scores: those of a calibration set. */
  readonly mean?: UnitScores
  readonly predictor?: Predictor
  /** Methods that read moments. */
  readonly moments?: HeldMoments
}

/** What several methods decide by, as files have it. */
export interface MethodSources {
  /** Mean scores of a calibration, for planners that rank by them. */
  readonly mean?: UnitScores
  /** The last one of a kind is asked. */
  readonly predictors?: readonly Predictor[]
  /** Moments of a calibration, for methods that compensate. */
  readonly moments?: HeldMoments
}

/** The sources among these that a method decides by. */
export function inputsFrom({
  mean,
  predictors = [],
  moments,
}: MethodSources): (method: Method) => MethodInputs {
  return (method) => ({
    mean: needs(method.planner, 'calibration') ? mean : undefined,
    predictor: predictorFor(method.planner, predictors),
    moments: readsMoments(method) ? moments : undefined,
  })
}

/** Refuses what would have no effect. @throws UsageError COMPENSATE */
export function expectCompensated({ planner, compensate = 'none', ridge, promptShare }: Method): void {
  const refuse = (expected: string, got: string): never => {
    throw new UsageError('COMPENSATE', `planner ${planner}: expected ${expected}, got ${got}`)
  }
  if (ridge !== undefined && compensate !== 'least-squares') refuse('least-squares for a ridge', compensate)
  if (promptShare !== undefined && compensate === 'none')
    refuse('a compensation for a share of the prompt', 'none')
}

/** What a method makes up for what it skips by. @throws MissingError PLANNER_SOURCE without moments */
function compensationOf(
  { planner, compensate = 'none', ridge, promptShare }: Method,
  { moments }: MethodInputs,
): Compensation | undefined {
  if (compensate === 'none') return undefined
  const known = given(planner, moments, 'the moments of a calibration to compensate by')
  return compensationBy(known, { by: compensate, ridge, promptShare })
}

/** The inputs of one text. */
type PlanContext = Pick<PlannerSources, 'seed' | 'oracleScores' | 'topK'>

/**
 * How much a method keeps. A planner that ranks neurons keeps all heads.
 * @throws UsageError SPARSITY, also for a share of heads where these are not ranked; SCOPE
 */
export function methodBudget(method: Method, { predictor }: MethodInputs = {}): Budget {
  const { planner, sparsity, neuronSparsity = sparsity, scope } = method
  const { headSparsity = keepsHeads(planner) ? 0 : sparsity } = method
  if (keepsHeads(planner) && headSparsity !== 0)
    throw new UsageError(
      'SPARSITY',
      `planner ${planner}: expected no head sparsity, because it decides about ${plannerOf(planner).skips === 'channels' ? 'input channels' : 'neurons'} and keeps all heads, got ${headSparsity}`,
    )
  const ranksRead = prefillOf(method) === 'dense' && method.every === 'once'
  const whole = method.denseLayers ?? (predictor ? denseLayers(predictor.config, ranksRead) : 1)
  return makeBudget(sparsity, { headSparsity, neuronSparsity, scope, denseLayers: whole })
}

/**
 * The planner of a method for one text; null is dense.
 * @throws MissingError PLANNER_SOURCE if what it decides by is missing; UsageError SPARSITY, SCOPE, CRITERION_NAME, COMPENSATE
 */
export function planMethod(
  model: LanguageModel,
  method: Method,
  inputs: MethodInputs,
  { seed, oracleScores, topK = backendTopK(model.backend) }: PlanContext = {},
): MaskPlanner | null {
  const { planner, criterion, every, prefill, leaky, paperCompatible } = method
  expectCompensated(method)
  const { predictor, moments } = inputs
  const mean = criterion === MOMENTS_CRITERION && moments ? moments.worths : inputs.mean
  const sources = {
    model,
    topK,
    seed,
    mean,
    ...(predictor && { [predictor.kind]: predictor }),
    oracleScores,
    criterion: needs(planner, 'prompt-loss') ? criterionByName(criterion) : undefined,
  }
  return makePlanner(planner, sources, methodBudget(method, inputs), {
    every,
    prefill,
    leaky,
    paperCompatible,
    compensation: compensationOf(method, inputs),
  })
}

// ---- Methods that are compared ---------------------------------------------------------------------------------------

/** What is to be compared, and what its planners decide by. */
export interface CompareOptions extends Partial<
  Pick<
    Method,
    | 'every'
    | 'prefill'
    | 'leaky'
    | 'paperCompatible'
    | 'headSparsity'
    | 'neuronSparsity'
    | 'compensate'
    | 'ridge'
    | 'promptShare'
  >
> {
  /** The planners that are compared; dense is always among them. */
  readonly planners: readonly PlannerName[]
  /** Shares of the ranked units that are skipped, from 0 to 1. */
  readonly sparsities: readonly number[]
  /** Default: `global`, or as the predictor of the planner was learnt. */
  readonly scope?: Scope
  /** Of the oracle, of the prompt, and of the mean scores; a predictor's is what it learnt. Default plainact. */
  readonly criterion?: string
  /** What the planners decide by: mean scores, predictors, moments. */
  readonly sources?: MethodSources
  /** For which masks the shadow predictor was learnt. */
  readonly learnt?: LearntUse | null
}

/** The fields of what planners decide by. */
export const sourceFields: Kinds<MethodSources> = {
  mean: kinds.object,
  predictors: listOption('a list of predictors', kinds.object),
  moments: kinds.object,
}
/** What planners decide by. */
export const sourcesOption: Kind = recordOption('mean scores, predictors and moments', sourceFields, 'closed')

/** A list of sparsities. */
export const sparsitiesOption: Kind = listOption('a list of numbers from 0 to 1', shareOption, 'SPARSITY')

/** What is to be compared where a model has what planners decide by. */
export type ComparedPlanners = Omit<CompareOptions, 'sources' | 'learnt'>

/** What is to be compared, dense first, and what it decides by: both are options of `textPerplexity` and `runTasks`. */
export interface ComparedMethods {
  readonly methods: readonly Method[]
  readonly sources: MethodSources
}

/** The options of a comparison where a model has what planners decide by. */
export const comparedKinds: Kinds<ComparedPlanners> = {
  planners: required(kinds.list),
  sparsities: required(sparsitiesOption),
  scope: scopeOption,
  criterion: kinds.text,
  every: everyOrOnce,
  prefill: prefillOption,
  leaky: kinds.flag,
  paperCompatible: kinds.flag,
  headSparsity: shareOption,
  neuronSparsity: shareOption,
  compensate: compensateOption,
  ridge: ridgeOption,
  promptShare: promptShareOption,
}
const compareFields: Kinds<CompareOptions> = {
  ...comparedKinds,
  sources: sourcesOption,
  learnt: orNull(kinds.object),
}

/**
 * The methods of a comparison: dense first, then every planner at every sparsity. Nothing is measured yet: `textPerplexity` and
 * `runTasks` take the list as `methods` and report a row for each. A planner that lacks what it decides by, such as a predictor, is
 * refused here, before any text is read. `ShadowModel.compareMethods` gives planners the predictors and the calibration of its model.
 * @param compared the planners and sparsities, what planners decide by, and settings of all methods
 * @throws MissingError PLANNER_SOURCE if a planner has nothing to decide by; UsageError PLANNER for an unknown one, SPARSITY, SCOPE,
 *   CRITERION_NAME; OPTIONS, OPTION_NAME, OPTION_TYPE for options of other names or types
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { compareMethods, textPerplexity } from 'shadowllm/eval'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const methods = compareMethods(opt.model, { planners: ['random', 'griffin'], sparsities: [0.25, 0.5] })
 * const stream = [
 *   'Once upon a time, there was a little dog named Max. He liked to play in the park with his ball. One day the ball rolled into',
 *   'the lake, and Max could not reach it. He was very sad. A big duck saw him and asked why he was sad. Max told her about the',
 *   'ball. The duck swam to the ball and pushed it back to the shore. Max was so happy that he ran around the duck three times.',
 * ].join(' ')
 * const text = { name: 'dog', stream, pages: [] }
 * const report = await textPerplexity({ ...opt.measured, text, methods, context: 64, windows: 2 })
 * for (const { planner, sparsity, tokenPerplexity } of report.rows)
 *   console.log(planner, sparsity, tokenPerplexity?.toFixed(2))
 * await opt.dispose()
 * ```
 * ```text
 * dense 0 9.23
 * random 0.25 16.32
 * griffin 0.25 9.56
 * random 0.5 28.15
 * griffin 0.5 10.74
 * ```
 */
export function compareMethods(model: LanguageModel, compared: CompareOptions): Method[] {
  expectOption('model', model, kinds.model)
  checkOptions(compared, compareFields)
  const { planners, sparsities, criterion = 'plainact', sources = {}, learnt, ...options } = compared
  const inputsOf = inputsFrom(sources)
  const methods = methodTable(planners, sparsities, options.scope ?? 'global', (planner, sparsity) => {
    const method = makeMethodAsLearnt({ planner, sparsity, ...options }, planner === 'shadow' ? learnt : null)
    const hasNone = plannerOf(planner).needs.length === 0
    const own = inputsOf(method).predictor?.config.criterion ?? (hasNone ? 'none' : criterion)
    return { ...method, criterion: own }
  })
  for (const method of methods)
    if (!needs(method.planner, 'continuation')) planMethod(model, method, inputsOf(method))
  return methods
}
