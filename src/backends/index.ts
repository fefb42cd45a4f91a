/**
 * shadowllm/backends: backends by name.
 *
 * @module
 */
export {
  backendNames,
  type BufferOf,
  type Int8Buffer,
  type BlockBuffer,
  type AdapterLimits,
} from './backend.ts'
export { createBackend } from './select.ts'
export type {
  Backend,
  BackendName,
  BackendOptions,
  Buffer,
  CallArguments,
  CallReport,
  Ops,
  ScaledBuffer,
  StoredBuffer,
  ThreadReport,
} from './backend.ts'
export type { FlatArgument } from './calls.ts'
export { watchBackend, type OnOp } from './watched.ts'
