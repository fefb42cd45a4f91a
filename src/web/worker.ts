/**
 * shadowllm/worker: the library in a thread of its own, so that a page, or a process with other things to do, stays quick.
 *
 * `startEngine` starts the thread; `RemoteOpt.fromPretrained(engine.line, ...)` has the calls of `ShadowOpt`.
 */
export type { ModelInfo } from './engine/model_info.ts'
export { RemoteOpt, type ModelSource } from './engine/remote_opt.ts'
export { startEngine, type Engine } from './engine/start_engine.ts'
