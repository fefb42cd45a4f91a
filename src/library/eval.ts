/**
 * shadowllm/eval: calibration, perplexity, choice tasks, the whole comparison, speed, parity.
 *
 * @module
 */
export { Bench, type BenchOptions, type BenchProgress } from '../bench/bench.ts'
export {
  calibrateToFolder,
  type CalibrateOptions,
  type CalibrateProgress,
  type CalibrationReport,
} from '../calibration/collect.ts'
export { openCalibration, type Calibration } from '../calibration/open.ts'
export { taskSource, textSource } from '../calibration/sources.ts'
export { makeCertificate, readCertificate, type Certificate } from '../parity/certificate.ts'
export { checkParity, type ParityReport } from '../parity/check.ts'
export { checkOps, type OpsReport } from '../parity/check_ops.ts'
export { exportParity, type ExportOptions } from '../parity/export.ts'
export { readParityCases, readParityFile, type ParityCases } from '../parity/files.ts'
export { runModel, type ModelOutcome } from '../parity/run_model.ts'
export { runOps, type OpOutcome } from '../parity/run_ops.ts'
export { compareMethods, makeMethod, type Method } from '../results/method.ts'
export { scoreWindow, type WindowScore } from '../evaluation/score_window.ts'
export { compareScores } from '../evaluation/tally.ts'
export { hashFiles, makeProvenance, type Provenance } from '../results/provenance.ts'
export { reproduce, type ReproduceOptions, type ReproduceProgress } from '../experiments/reproduce.ts'
export { settingsBySize, type ExperimentSize, type Settings } from '../evaluation/settings.ts'
export { taskByName, tasks } from '../data/tasks/index.ts'
export { runTasks, type TaskRow, type TaskSample, type TasksReport } from '../evaluation/tasks/run.ts'
export {
  textPerplexity,
  type TextPerplexityOptions,
  type TextPerplexityReport,
} from '../evaluation/text_perplexity.ts'
