/**
 * shadowllm/predictor: predictors of scores from a prompt, and planners that make masks from scores.
 */
export {
  losses,
  predictorKinds,
  type LossName,
  type PredictorConfig,
  type PredictorKind,
} from './predictor_config.ts'
export type { UnitKind } from '../masks/mask.ts'
export { coreinferPlanner } from './coreinfer.ts'
export { DejavuPredictor } from './dejavu.ts'
export { dejavuPlanner } from './dejavu_planner.ts'
export { DejavuStylePredictor } from './dejavu_style.ts'
export type { CalibrationExample, PromptFeatures } from './example.ts'
export { glassPlanner } from './glass.ts'
export { griffinPlanner } from './griffin.ts'
export { griffinStaticPlanner } from './griffin_static.ts'
export type { LatePlanner } from './late_planner.ts'
export { promptMask } from './leaky.ts'
export { makePredictorConfig, type PredictorOrigin, type PredictorChoices } from './make_predictor_config.ts'
export { scoreKept, spearman, type MaskQuality, type ScoreQuality } from './metrics.ts'
export { dejavuStylePlanner, promptPlanner, scoreText, type PromptPlannerOptions } from './pass_planners.ts'
export {
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
export { promptStaticPlanner } from './prompt_static.ts'
export { predictScores } from './predict.ts'
export { openPredictor, savePredictor, type Predictor } from './predictor_file.ts'
export { ShadowPredictor } from './shadow.ts'
