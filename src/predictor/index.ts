/**
 * shadowllm/predictor: predictors of scores from a prompt, and planners that make masks from scores.
 *
 * @module
 */
export {
  losses,
  predictorKinds,
  type LossName,
  type PredictorConfig,
  type PredictorKind,
  type DejavuConfig,
  type DejavuStyleConfig,
  type ShadowConfig,
  type PredictorConfigBase,
} from './predictor_config.ts'
export type { UnitKind } from '../masks/mask.ts'
export { coreinferPlanner } from '../planners/coreinfer.ts'
export { dejavuPlanner } from '../planners/dejavu.ts'
export { dejavuStylePlanner } from '../planners/dejavu_style.ts'
export { glassPlanner } from '../planners/glass.ts'
export { griffinPlanner } from '../planners/griffin.ts'
export { griffinStaticPlanner } from '../planners/griffin_static.ts'
export { plannerNames, type Every, type PlannerName } from '../planners/index.ts'
export { promptMask } from '../planners/leaky.ts'
export { makePlanner, type PlannerOptions } from '../planners/make.ts'
export { oraclePlanner } from '../planners/oracle.ts'
export { promptPlanner, scoreText, type PromptPlannerOptions } from '../planners/prompt_plainact.ts'
export { promptStaticPlanner } from '../planners/prompt_static.ts'
export { randomPlanner } from '../planners/random.ts'
export type { LatePlanner } from '../planners/ranking.ts'
export type { PlannerSources } from '../planners/record.ts'
export type {
  PromptPredictor,
  Predictors,
  LayerPredictor,
  HeadOutputsPredictor,
  InputScaling,
} from '../planners/predictors.ts'
export { shadowPlanner } from '../planners/shadow.ts'
export { staticPlanner } from '../planners/static.ts'
export { DejavuPredictor } from './dejavu.ts'
export { DejavuStylePredictor } from './dejavu_style.ts'
export type { CalibrationExample, PromptFeatures } from './example.ts'
export { makePredictorConfig, type PredictorOrigin, type PredictorChoices } from './make_predictor_config.ts'
export { scoreKept, spearman, type MaskQuality, type ScoreQuality } from './metrics.ts'
export { predictScores } from './predict.ts'
export { openPredictor, savePredictor, type Predictor, type PredictorFileOptions } from './predictor_file.ts'
export { ShadowPredictor } from './shadow.ts'
export type { ByLayer } from '../masks/planner.ts'
export type { FeatureMoments } from './features.ts'
