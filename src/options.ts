/**
 * What the calls of ShadowOpt take: their options as types, and the kind of each for those who come without types.
 */
import type { BackendName } from './backends/backend.ts'
import type { HubOptions } from './io/hub.ts'
import type { MaskPlanner } from './masks/planner.ts'
import type { CacheStorage } from './engine/layer_cache.ts'
import type { Storage } from './engine/matrix.ts'
import type { SamplerOptions } from './engine/sampling.ts'
import type { LoadProgress } from './engine/weight_reader.ts'
import type { PlannerChoice, PlanOptions } from './planner_options.ts'
import type { PlannerName } from './predictor/planners.ts'
import { kinds, type Kind } from './tensor/arguments.ts'
import type { Ids, IdTable } from './tensor/ndarrays.ts'

/** How far the opening of a model is: of its download, if it comes from the hub, then of its load. */
export interface OpenProgress extends LoadProgress {
  readonly stage: 'download' | 'load'
}

/** How a model is loaded. */
export interface OpenOptions extends Pick<HubOptions, 'revision' | 'offline'> {
  /** What computes; default `wasm`. */
  readonly backend?: BackendName
  /** What weights are stored as; default f32. Others take less memory and time, and round (`shadowllm inspect`). */
  readonly storage?: Storage
  /** How many threads may share a call where measured to be faster, or what suits this machine; default 1. Same text. */
  readonly threads?: number | 'auto'
  /** Ends the load; what was downloaded stays. */
  readonly signal?: AbortSignal
  /** Called after each few megabytes at the latest, at least once per tensor. */
  readonly onProgress?: (progress: OpenProgress) => void
}

/** What a mask is decided by. */
export interface MaskOptions extends PlannerChoice {
  /** Default `shadow`. The oracle needs the continuation. Or a planner of your own. */
  readonly planner?: PlannerName | MaskPlanner
  /** What follows the prompt: text, tokenised on its own, or ids. Only the oracle looks at it. */
  readonly continuation?: string | Ids
}

/** How a text is written. */
export interface GenerateOptions extends PlanOptions, Omit<SamplerOptions, 'seed'> {
  /** How many tokens at most; default 64, or fewer where the model's context ends. */
  readonly maxTokens?: number
  /**
   * What keys and values of the past are stored as; default `int8` where weights are, else `f32`. `int8` takes a quarter
   * of the memory, and of the time a long text waits for it; its numbers differ a little.
   */
  readonly cache?: CacheStorage
}

/** One token of a text. */
export interface GenerateStep {
  /** The text that is certain with this token: whole characters only, so sometimes none. */
  readonly text: string
  readonly token: number
  /** 0 for the first token after the prompt. */
  readonly index: number
}

/** A batch; rows under the attention mask are one run of ones each. */
export interface BatchInput {
  readonly input_ids: IdTable
  readonly attention_mask?: IdTable
}

/** How surprised a model is by a text. */
export interface Perplexity {
  /** exp of the mean negative log-likelihood per token. */
  readonly tokenPerplexity: number
  /** The same per whitespace-separated word. */
  readonly wordPerplexity: number
  /** Sum of negative log-likelihoods, in nats. */
  readonly nll: number
  readonly tokens: number
  readonly words: number
}

/** The kind of every option of a call: the compiler sees to it that none is forgotten. */
export type Kinds<Options> = Readonly<Record<keyof Options, Kind>>

/** Those of `fromPretrained`. */
export const openKinds: Kinds<OpenOptions> = {
  backend: kinds.text,
  storage: kinds.text,
  threads: kinds.threads,
  revision: kinds.text,
  offline: kinds.flag,
  signal: kinds.signal,
  onProgress: kinds.call,
}

const choiceKinds: Kinds<PlannerChoice> = {
  sparsity: kinds.number,
  headSparsity: kinds.number,
  neuronSparsity: kinds.number,
  scope: kinds.text,
  criterion: kinds.text,
  every: kinds.number,
  released: kinds.flag,
  seed: kinds.seed,
}

/** Those of `mask`. */
export const maskKinds: Kinds<MaskOptions> = {
  ...choiceKinds,
  planner: kinds.planner,
  continuation: kinds.ids,
}

/** Those of `forward`. */
export const planKinds: Kinds<PlanOptions> = {
  ...choiceKinds,
  planner: kinds.planner,
  mode: kinds.text,
  signal: kinds.signal,
}

/** Those of `generate`. */
export const generateKinds: Kinds<GenerateOptions> = {
  ...planKinds,
  maxTokens: kinds.number,
  cache: kinds.text,
  temperature: kinds.number,
  topK: kinds.number,
  topP: kinds.number,
}

/** Those of `perplexity`. */
export const perplexityKinds: Kinds<{ readonly signal?: AbortSignal }> = { signal: kinds.signal }
