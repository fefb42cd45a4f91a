/**
 * shadowllm/model: OPT inside a backend: weights, forward and backward passes, sequences, sampling.
 */
export type { MaskMode } from './opt/active_block.ts'
export { backward, type BackwardOptions, type Gradients } from './opt/backward.ts'
export { forwardBatch, type BatchOptions } from './opt/batch.ts'
export { makeOptConfig, parseOptConfig, type OptConfig, type OptSizes } from './opt/config.ts'
export {
  generateTokens,
  type GeneratedToken,
  type GenerateEnd,
  type GenerateOptions,
} from './opt/generate.ts'
export { initialWeights, type InitialWeightsOptions } from './opt/initial_weights.ts'
export type { CacheStorage } from './opt/layer_cache.ts'
export { meanLoss, negativeLogLikelihood, shiftLabels } from './opt/loss.ts'
export { storages, type Storage } from './opt/matrix.ts'
export { OptModel } from './opt/opt_model.ts'
export { argmax, makeSampler, type Sampler, type SamplerOptions } from './opt/sampling.ts'
export type { Sequence, SequenceOptions } from './opt/sequence.ts'
export { traceForward, type Trace, type TraceOptions } from './opt/trace.ts'
export type { LoadOptions, LoadProgress } from './opt/weight_reader.ts'
export { memorySource, type HostTensor } from '../tensor/memory_source.ts'
export type { TensorInfo, TensorSource } from '../tensor/tensor_source.ts'
