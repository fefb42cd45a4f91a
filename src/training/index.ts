/**
 * shadowllm/train: predictors trained on a calibration, scores learnt through the mask, and small language models trained from
 * text.
 *
 * @module
 */
export { holdMoments, type MomentPlaces } from '../compensation/open_moments.ts'
export { AdamW, type AdamWOptions } from './adamw.ts'
export {
  contestants,
  judgePredictor,
  type Contestant,
  type JudgeOptions,
  type Verdict,
} from './judge_predictor.ts'
export {
  maskedDivergence,
  ScoreLearner,
  type LearnerState,
  type LearningOptions,
  type LearningText,
  type MaskedDivergence,
} from './learn_scores.ts'
export {
  learntPredictor,
  PredictorLearner,
  type CorrectionOptions,
  type LearntPredictor,
  type LearningState,
  type LearningWindow,
  type Observation,
} from './learn_predictor.ts'
export type { EpochReport, TrainingOptions } from './predictor_training.ts'
export { pretrain, type HeldOutReport, type PretrainOptions, type StepReport } from './pretrain.ts'
export {
  cutStream,
  holdOut,
  joinDocuments,
  makeTextEncoder,
  seededBatches,
  type PretrainWindows,
  type Batches,
} from './pretrain_data.ts'
export { embeddedRecipe, type PretrainSettings } from './pretrain_settings.ts'
export { LanguageTrainer, type TrainerState } from './pretrain_trainer.ts'
export { cosineSchedule, type Schedule } from './schedule.ts'
export { splitExamples } from './split.ts'
export {
  trainPredictor,
  trainDejavu,
  trainDejavuStyle,
  trainShadow,
  type PredictorTraining,
  type TrainedPredictor,
  type TrainingProgress,
  type PredictorOf,
} from './train_predictor.ts'
export type { RidgeOptions } from './ridge.ts'
export type { Encode } from '../io/encode_pieces.ts'
