/**
 * shadowllm/worker: the library in a worker, so that a page or another process stays responsive.
 *
 * `startEngine` starts the worker; `RemoteOpt.fromPretrained(engine.rpc, ...)` has the calls of `ShadowOpt`.
 */
export type { ModelInfo } from './engine/model_info.ts'
export { RemoteOpt, type ModelSource } from './engine/remote_opt.ts'
export { startEngine, type Engine } from './engine/start_engine.ts'
