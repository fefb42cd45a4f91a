/**
 * The methods of a bench, and how a model is run by each. Their planners are those of the library, so that copies to the
 * host, the choice of units and the lists made of it are on the clock.
 */
import { randomScores } from '../criteria/random.ts'
import type { UnitMask } from '../masks/mask.ts'
import type { TopK } from '../masks/selection.ts'
import type { MaskMode } from '../engine/active_layer.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { needs, plannersThat, predictorKindOf, type PlannerName } from '../planners/index.ts'
import type { Predictor } from '../predictor/predictor_file.ts'
import { Random } from '../tensor/random.ts'
import { predictorMissing } from '../planners/make.ts'
import type { Plan } from '../evaluation/decode.ts'
import { inputsFrom, makeMethod, methodTable, planMethod, type Method } from '../results/method.ts'

/**
 * The planners that can be asked for: those that need no loss of a text, which says nothing of random weights. `dense` is always
 * measured, since the others are compared with it.
 */
export const benchPlanners: readonly PlannerName[] = plannersThat(
  ({ needs }) => !needs.includes('continuation') && !needs.includes('prompt-loss'),
)

/** The replay of a mask that was given, which says itself how much it skips. */
export const maskReplay = { planner: 'mask', sparsity: null } as const

/** A method, or a mask that was given. */
export type BenchMethod = Method | typeof maskReplay

/** The description of a method in tables. */
export interface BenchName {
  readonly planner: BenchMethod['planner']
  /** The share of ranked heads and neurons that is to be skipped; null where a mask says it. */
  readonly sparsity: number | null
}

/** The name of a method in a line of text. */
export function methodName({ planner, sparsity }: BenchName): string {
  return sparsity === null || planner === 'dense' ? planner : `${planner} ${+(100 * sparsity).toFixed(1)} %`
}

/** What is to be compared. */
interface BenchMethodOptions {
  readonly planners: readonly PlannerName[]
  readonly sparsities: readonly number[]
  /** Whether there is a mask to replay. */
  readonly hasMask: boolean
  /** Default: as the planner does by itself. */
  readonly every?: number | 'auto'
  /** Whether what is generated is checked, for which prompts run dense. */
  readonly checks?: boolean
}

/** Dense first, then every planner at every sparsity, then the mask. */
export function benchMethods(options: BenchMethodOptions): BenchMethod[] {
  const { planners, sparsities, hasMask, every, checks = false } = options
  const asked = benchPlanners.filter((planner) => planners.includes(planner))
  const methods = methodTable(asked, sparsities, 'global', (planner, sparsity) =>
    makeMethod({ planner, sparsity, every, ...(checks && { prefill: 'dense' }) }),
  )
  return [...methods, ...(hasMask ? [maskReplay] : [])]
}

/** The inputs of the methods of one model. */
export interface BenchInputs extends Pick<Plan, 'cache' | 'check'> {
  readonly predictors: readonly Predictor[]
  readonly mask: UnitMask | null
  readonly mode: MaskMode
  readonly seed: number
  /** The backend that ranks units; default: the model's. */
  readonly topK?: TopK
}

/**
 * How a model is run by a method.
 * @throws MissingError PREDICTOR_MISSING where there is none of its kind
 */
export function planOf(method: BenchMethod, model: LanguageModel, inputs: BenchInputs): Plan {
  const { predictors, mask, mode, cache, check, seed, topK } = inputs
  if (method.planner === 'mask') return { mask, mode, cache, check }
  const kind = predictorKindOf(method.planner)
  // What a calibration says has no influence on the time.
  const mean = needs(method.planner, 'calibration') ? randomScores(model.shape, new Random(seed)) : undefined
  const own = inputsFrom({ predictors, mean })(method)
  if (kind && !own.predictor) throw predictorMissing(kind)
  return { planner: planMethod(model, method, own, { seed, topK }), mode, cache, check }
}
