/**
 * shadowllm/predictor: what guesses scores from a prompt, and the planners that make masks of scores.
 */
export {
  losses,
  predictorKinds,
  type LossName,
  type PredictorCard,
  type PredictorKind,
  type UnitKind,
} from './predictor_config.ts'
export { DejavuPredictor } from './dejavu.ts'
export { dejavuPlanner } from './dejavu_planner.ts'
export { DejavuStylePredictor } from './dejavu_style.ts'
export type { CalibrationExample, PromptFeatures } from './example.ts'
export { promptMask } from './leaky.ts'
export { makeCard, type CardSubject, type PredictorChoices } from './make_predictor_config.ts'
export { scoreKept, spearman, type MaskQuality, type ScoreQuality } from './metrics.ts'
export { dejavuStylePlanner, promptPlanner, scoreText, type PromptPlannerOptions } from './pass_planners.ts'
export {
  densePlanner,
  makePlanner,
  oraclePlanner,
  plannerNames,
  randomPlanner,
  shadowPlanner,
  staticPlanner,
  type Every,
  type PlannerName,
  type PlannerOptions,
  type PlannerSources,
  type PromptPredictor,
} from './planners.ts'
export { predictScores } from './predict.ts'
export { openPredictor, savePredictor, type Predictor } from './predictor_file.ts'
export { ShadowPredictor } from './shadow.ts'
