/**
 * shadowllm/model: OPT and the Llama family inside a backend: weights, forward and backward passes, sequences, sampling.
 *
 * @module
 */
export type { MaskMode } from './active_layer.ts'
export { backward, type BackwardOptions, type Gradients } from './backward.ts'
export { forwardBatch, type BatchOptions } from './batch.ts'
export { makeConfig, parseConfig, type ModelConfig, type ModelSizes } from './config.ts'
export { Conversation } from './conversation.ts'
export {
  generateTokens,
  type GeneratedToken,
  type GenerateEnd,
  type GenerateOptions,
  type PromptRun,
  type TextRun,
} from './generate.ts'
export { initialWeights, type InitialWeightsOptions } from './initial_weights.ts'
export type { CacheStorage } from './layer_cache.ts'
export { meanLoss, negativeLogLikelihood, shiftLabels } from './loss.ts'
export { storages, type Storage, type StorageChoice } from './storages/index.ts'
export type { CheckCounts, ChosenToken } from './next_tokens.ts'
export { LanguageModel } from './language_model.ts'
export { argmax, makeSampler, type Sampler, type SamplerOptions } from './sampling.ts'
export type { Sequence, SequenceOptions, StrategyCounts, ResumeOptions, LogitsWanted } from './sequence.ts'
export { traceForward, type Trace, type TraceOptions } from './trace.ts'
export type { LoadOptions, LoadProgress } from './weight_reader.ts'
export { memorySource, type HostTensor } from '../tensor/memory_source.ts'
export type { TensorInfo, TensorSource } from '../tensor/tensor_source.ts'
export type { Rotary, RotaryScaling } from '../ops/rotary.ts'
export type { Random, RandomState } from '../tensor/random.ts'
