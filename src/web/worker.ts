/**
 * shadowllm/worker: the library in a worker, so that a page or another process stays responsive.
 *
 * `startEngine` starts the worker; `RemoteModel.fromPretrained(engine.rpc, ...)` has the calls of `ShadowModel`.
 *
 * @module
 */
export type { ModelInfo, NextToken, BackendChoice } from './engine/model_info.ts'
export { RemoteModel, type ModelSource } from './engine/remote_model.ts'
export { startEngine, type Engine } from './engine/start_engine.ts'
export type {
  StudyEvent,
  StudyEnd,
  StudyOptions,
  StudyStart,
  StudyStep,
  DenseStep,
  StudyCompared,
  SpeedRounds,
  TextStep,
} from './engine/study_types.ts'
export type { UnitSwitch } from './engine/unit_switches.ts'
export type { Unit } from './trace/unit_facts.ts'
