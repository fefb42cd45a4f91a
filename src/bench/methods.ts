/**
 * Who skips what: the arms of a bench, and the planners that stand behind them. They are the planners of the library, so
 * that copies to the host, the choice of units and the lists made of it are on the clock.
 */
import type { UnitMask } from '../masks/mask.ts'
import { makeBudget } from '../masks/budget.ts'
import { backendTopK, type TopK } from '../masks/selection.ts'
import type { MaskMode } from '../engine/active_block.ts'
import type { CacheStorage } from '../engine/layer_cache.ts'
import type { OptModel } from '../engine/opt_model.ts'
import { makePlanner } from '../predictor/planners.ts'
import type { Predictor } from '../predictor/predictor_file.ts'
import { kindsNeeded, predictorOf } from '../predictor/suitable.ts'
import { MissingError } from '../tensor/errors.ts'
import type { Plan } from '../evaluation/decode.ts'

/** The planners that can be asked for. `dense` is always measured: it is what the others are compared with. */
export const benchPlanners = ['dense', 'random', 'shadow', 'dejavu-style', 'dejavu'] as const
export type BenchPlanner = (typeof benchPlanners)[number]

/** One way of skipping. */
export interface BenchArm {
  /** `mask` is one that was given. */
  readonly planner: BenchPlanner | 'mask'
  /** The share of ranked heads and neurons that is to be skipped; null where a mask says it. */
  readonly sparsity: number | null
}

/** What an arm is called in a line of text. */
export function armName({ planner, sparsity }: BenchArm): string {
  return sparsity === null || planner === 'dense' ? planner : `${planner} ${+(100 * sparsity).toFixed(1)} %`
}

/** What arms are made of. */
export interface ArmSettings {
  readonly planners: readonly BenchPlanner[]
  readonly sparsities: readonly number[]
  /** Whether there is a mask to replay. */
  readonly hasMask: boolean
}

/** Dense first, then every planner at every sparsity, then the mask. */
export function makeArms({ planners, sparsities, hasMask }: ArmSettings): BenchArm[] {
  const others = benchPlanners.filter((planner) => planner !== 'dense' && planners.includes(planner))
  return [
    { planner: 'dense', sparsity: 0 },
    ...sparsities.flatMap((sparsity) => others.map((planner) => ({ planner, sparsity }))),
    ...(hasMask ? [{ planner: 'mask', sparsity: null } as const] : []),
  ]
}

/** What the arms of one model decide by. */
export interface Deciders {
  readonly predictors: readonly Predictor[]
  readonly mask: UnitMask | null
  readonly mode: MaskMode
  readonly cache?: CacheStorage
  readonly seed: number
  /** Who ranks; default the model's backend. */
  readonly topK?: TopK
}

/**
 * How a model is run by an arm.
 * @throws MissingError PREDICTOR_MISSING where there is none of the arm's kind
 */
export function planOf({ planner, sparsity }: BenchArm, model: OptModel, deciders: Deciders): Plan {
  const { predictors, mask, mode, cache, seed, topK = backendTopK(model.backend) } = deciders
  if (planner === 'mask') return { mask, mode, cache }
  for (const kind of kindsNeeded([planner]))
    if (!predictorOf(kind, predictors))
      throw new MissingError(
        'PREDICTOR_MISSING',
        `planner ${kind}: expected a predictor of its kind, got none; "shadowllm train" makes one`,
      )
  const sources = {
    model,
    topK,
    seed,
    shadow: predictorOf('shadow', predictors),
    dejavuStyle: predictorOf('dejavu-style', predictors),
    dejavu: predictorOf('dejavu', predictors),
  }
  return { planner: makePlanner(planner, sources, makeBudget(sparsity ?? 0)), mode, cache }
}
