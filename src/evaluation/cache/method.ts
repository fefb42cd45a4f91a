/**
 * An arm of an experiment: everything that decides which units are kept, as plain data.
 *
 * Two arms with the same description give the same numbers on the same model, text and seed; so a description is also
 * the name under which its results are kept (part_store.ts).
 */
import type { Scope } from '../../masks/budget.ts'
import type { LossName, PredictorKind } from '../../predictor/predictor_config.ts'
import type { FeatureScaling, Pooling, TargetScaling } from '../../predictor/features.ts'
import type { PlannerName } from '../../predictor/planners.ts'
import type { TrainingOptions } from '../../training/predictor_training.ts'
import type { Aggregation } from '../../calibration/aggregate.ts'

/** Which examples are calibrated on. */
export interface ExampleSettings {
  readonly count: number
  /** Windows of text, or a task's rows behind so many solved ones. */
  readonly shots: number | null
  /**
   * Neurons are scored in a model that is pruned already, under the static mask of this sparsity made from the same
   * examples' dense scores. Heads keep their dense scores. Default: all in the dense model.
   */
  readonly pruned?: number
}

/** How a predictor is trained. */
export interface PredictorSettings {
  readonly headHidden: number
  readonly neuronHidden: number
  readonly features: FeatureScaling
  readonly targets: TargetScaling
  /** Of ShadowLLM's predictor; the others have a layer each. */
  readonly placement: number
  readonly pooling: Pooling
  readonly loss: LossName
  /** Shares of best units, by which labels are made. */
  readonly top: readonly number[]
  readonly training: Omit<TrainingOptions, 'signal'>
}

/** A planner, a budget, and what the planner was made from. */
export interface Arm {
  readonly planner: PlannerName
  /** `none` where no criterion decides: dense and random. */
  readonly criterion: string
  /** Share of the ranked units that is to be skipped; 0 for dense. */
  readonly sparsity: number
  readonly scope: Scope
  /** static: how examples become one ranking. */
  readonly aggregation?: Aggregation
  /** Planners that learn from examples. */
  readonly examples?: ExampleSettings
  /** Planners that predict. */
  readonly predictor?: PredictorSettings
  /** Ask again after every so many tokens; by default as the planner does. */
  readonly every?: number | null
  /**
   * oracle: instead of the true continuation, the mean over so many that the model itself writes after the prompt. Then
   * the answer is not seen.
   */
  readonly samples?: number
  /** The planner is shown the whole window. */
  readonly leaky?: boolean
  /** Layers that run whole; default 1, or what the predictor's placement asks for. */
  readonly denseLayers?: number
}

/** The planners that learn from examples, and what kind of predictor they ask. */
export const learners = {
  static: null,
  shadow: 'shadow',
  'dejavu-style': 'dejavu-style',
  dejavu: 'dejavu',
} as const satisfies Partial<Record<PlannerName, PredictorKind | null>>

/** The kind of predictor an arm asks, or null. */
export function predictorKindOf({ planner }: Arm): PredictorKind | null {
  return planner in learners ? learners[planner as keyof typeof learners] : null
}

/** Whether an arm learns from examples. */
export function learns({ planner }: Arm): boolean {
  return planner in learners
}

/** The arm that skips nothing. */
export const denseArm: Arm = { planner: 'dense', criterion: 'none', sparsity: 0, scope: 'global' }
