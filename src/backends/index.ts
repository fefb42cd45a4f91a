/**
 * shadowllm/backends: what computes, by name.
 */
export { backendNames, createBackend } from './select.ts'
export type {
  Backend,
  BackendName,
  BackendOptions,
  Buffer,
  CallReport,
  KernelArguments,
  Ops,
  ThreadReport,
} from './backend.ts'
export { watchBackend, type OnOp, type OpArguments } from './watched.ts'
