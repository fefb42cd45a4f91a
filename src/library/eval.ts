/**
 * shadowllm/eval: calibration, perplexity, choice tasks, the whole comparison, speed, parity.
 *
 * @module
 */
export {
  Bench,
  type BenchOptions,
  type BenchProgress,
  type BenchDevice,
  type MethodProfile,
} from '../bench/bench.ts'
export {
  calibrateToFolder,
  type CalibrateOptions,
  type CalibrateProgress,
  type CalibrationReport,
  type CalibrationPlan,
} from '../calibration/collect.ts'
export { openCalibration, type Calibration } from '../calibration/open.ts'
export {
  taskSource,
  textSource,
  type TaskRows,
  type TaskSourceOptions,
  type SourceOptions,
} from '../calibration/sources.ts'
export {
  makeCertificate,
  readCertificate,
  type Certificate,
  type CertificateSummary,
  type CertifiedRun,
  type Hashes,
} from '../parity/certificate.ts'
export {
  checkParity,
  type ParityReport,
  type ParityTensor,
  type TensorComparison,
  type ParityTensors,
} from '../parity/check.ts'
export { checkOps, type OpsReport, type OpCheck, type CheckOpsOptions } from '../parity/check_ops.ts'
export { exportParity, type ExportOptions } from '../parity/export.ts'
export { readParityCases, readParityFile, type ParityCases } from '../parity/files.ts'
export { runModel, type ModelOutcome, type ModelCheck, type RunModelOptions } from '../parity/run_model.ts'
export { runOps, type OpOutcome, type RunOpsOptions } from '../parity/run_ops.ts'
export {
  compareMethods,
  makeMethod,
  type Method,
  type PredictorSettings,
  type MethodRow,
  type ExampleSettings,
  type MethodSources,
  type CompareOptions,
  type LearntUse,
  type ComparedMethods,
  type ComparedPlanners,
} from '../results/method.ts'
export {
  scoreWindow,
  type WindowScore,
  type Cost,
  type DenseDistance,
  type ScoredText,
  type ScoreOptions,
  type DenseLogits,
  type ComparedCost,
} from '../evaluation/score_window.ts'
export { compareScores, type Difference, type Measured, type UnitCost } from '../evaluation/tally.ts'
export {
  hashFiles,
  makeProvenance,
  type Provenance,
  type NamedModel,
  type MeasuredModel,
  type Source,
  type ModelSource,
  type ProvenanceInputs,
} from '../results/provenance.ts'
export {
  reproduce,
  type ReproduceOptions,
  type ReproduceProgress,
  type ReproduceStage,
} from '../experiments/reproduce.ts'
export { settingsBySize, type ExperimentSize, type Settings } from '../evaluation/settings.ts'
export { taskByName, tasks } from '../data/tasks/index.ts'
export { prepareTask, type PrepareOptions } from '../evaluation/tasks/prepare.ts'
export type {
  Comparison as OpComparison,
  Difference as NumberDifference,
  Owed,
} from '../testing/op_agreement.ts'
export { openPartStore, type PartDescription } from '../results/part_store.ts'
export {
  runTasks,
  type TaskRow,
  type TaskSample,
  type TasksReport,
  type TaskScores,
  type TaskMean,
  type RunOptions,
} from '../evaluation/tasks/run.ts'
export {
  textPerplexity,
  type TextPerplexityOptions,
  type TextPerplexityReport,
  type TextPerplexityRow,
  type WholeText,
  type TextProgress,
  type Protocol,
  type Perplexities,
} from '../evaluation/text_perplexity.ts'
export type { Helpers } from '../calibration/collect_examples.ts'
export type {
  CacheOptions,
  CacheStage,
  ShotWindows,
  CacheProgress,
} from '../experiments/cache/experiment_cache.ts'
export type { ComparisonOptions } from '../experiments/methods.ts'
export type { Task, Metric, Question } from '../data/tasks/task.ts'
export { checkpointSubject, shapeSubject, type BenchSubject, type ShapeOptions } from '../bench/subject.ts'
export { parseTest, type BenchTest } from '../bench/tests.ts'
export type { Threads } from '../bench/job.ts'
export type { JobRunner, JobsOptions } from '../jobs/runner.ts'
export type { CalibrationSource, GroupedExample } from '../calibration/examples.ts'
export type { ThreadModel } from '../jobs/model_threads.ts'
export type { CalibrationManifest, NamedFormula } from '../calibration/manifest.ts'
export type { CalibrationCost, CostParts } from '../cost/calibration_cost.ts'
export type { PlacedDifference } from '../parity/worst.ts'
export type { Document } from '../data/corpus.ts'
export type { PartStore } from '../results/part_store.ts'
export type { DecodeSizes } from '../evaluation/decode.ts'
export type { Accuracy } from '../evaluation/tasks/score.ts'
export type { TaskRun, TaskProgress, AskedTasks } from '../evaluation/tasks/asking.ts'
export type { PagedText, Page } from '../data/texts.ts'
export type { ReproduceReport, ReproduceRow, Comparison } from '../experiments/reproduce_report.ts'
export type { Depths, DepthRow } from '../bench/depths.ts'
export type { BenchRow } from '../bench/rows.ts'
export type { WindowSizes, Window } from '../data/windows.ts'
export type { FeatureWidths } from '../engine/config.ts'
export type { Profile, ProfileLine } from '../bench/profile.ts'
export type { PromptOptions, Asked, AskedTokens, Request } from '../data/tasks/prompts.ts'
export type {
  ExperimentResult,
  LayerSparsity,
  Column,
  PaperFigures,
  Plot,
  PlotPoint,
  PlotSeries,
} from '../results/experiment_result.ts'
export type { SuiteOptions } from '../parity/op_suite.ts'
export type { Architecture } from '../cost/architectures.ts'
export type { MeasuredRun, MethodWindows, MeasuredWindow } from '../results/measured_run.ts'
export type { PlacedRow } from '../io/row_file.ts'
export type { Measure } from '../parity/kinds.ts'
