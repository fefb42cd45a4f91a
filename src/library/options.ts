/**
 * The options of the calls of ShadowModel: their types, and the kind of each option for the check at run time.
 */
import { backendOption, threadsOption, type BackendName } from '../backends/backend.ts'
import type { ChatMessage } from '../io/chat_prompt.ts'
import type { ChatTemplate } from '../io/chat_template.ts'
import type { HubOptions } from '../io/hub.ts'
import { stopOption } from '../io/stop_text.ts'
import { variablesOption, type TemplateVariables } from '../io/template_variables.ts'
import type { UnitMask } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import { modeOption } from '../engine/active_layer.ts'
import { maxTokensOption, type PromptRun, type TextRun } from '../engine/generate.ts'
import { cacheOption, type CacheStorage } from '../engine/layer_cache.ts'
import { checkOption } from '../engine/next_tokens.ts'
import { storageChoiceOption, type StorageChoice } from '../engine/storages/index.ts'
import { makeSampler, samplingOptions, type Sampler, type SamplerOptions } from '../engine/sampling.ts'
import type { LoadProgress } from '../engine/weight_reader.ts'
import { choiceKinds, type PlannerChoice, type PlanOptions } from './planner_options.ts'
import type { PlannerName } from '../planners/index.ts'
import type { TextSession } from './text_session.ts'
import { describeValue, isObject } from '../tensor/arguments.ts'
import { InputError, UsageError } from '../tensor/errors.ts'
import { kinds, type Kinds } from '../tensor/option.ts'
import type { Ids, IdTable } from '../tensor/ndarrays.ts'

/** The progress of opening a model: of its download, if it comes from the hub, then of its load. */
export interface OpenProgress extends LoadProgress {
  /** Files of the hub are downloaded first. */
  readonly stage: 'download' | 'load'
}

/** How a model is loaded. */
export interface OpenOptions extends Pick<HubOptions, 'revision' | 'offline'> {
  /** Default `wasm`. */
  readonly backend?: BackendName
  /**
   * The storage of weights. The default `file` holds the blocks of a GGUF file of Q4_0 or Q4_1 as they are, whose kernels round
   * activations, and other files as f32, which rounds nothing. Others take less memory and time, and round (`shadowllm inspect`).
   */
  readonly storage?: StorageChoice
  /** The maximal number of threads, used where measured to be faster; `auto` chooses. Default 1. The text is the same. */
  readonly threads?: number | 'auto'
  /** Ends the load; downloaded files stay in the cache. */
  readonly signal?: AbortSignal
  /** Called after every few megabytes, and at least once per tensor. */
  readonly onProgress?: (progress: OpenProgress) => void
}

/** How a mask is decided. */
export interface MaskOptions extends PlannerChoice {
  /** Default: that of `ShadowModel.usualPlanner` with a sparsity. The oracle needs the continuation. A planner object decides itself, and takes none of the options above. */
  readonly planner?: PlannerName | MaskPlanner
  /** The text after the prompt, tokenised separately, or its ids. Only the oracle reads it. */
  readonly continuation?: string | Ids
}

/** How a text is generated. */
export interface GenerateOptions extends PlanOptions, Omit<SamplerOptions, 'seed'> {
  /** The maximal number of tokens; default 64, or fewer if the model's context ends before. */
  readonly maxTokens?: number
  /**
   * Texts that end the text, wherever tokens begin: it ends before the first of them that is complete, and characters that may begin one
   * are held back until that is known. What a model thinks before it answers is not searched. The tokens of a stop text stay in a session.
   * Default: none.
   */
  readonly stop?: string | readonly string[]
  /** Your own function that chooses each token, in place of `temperature` and the other options of sampling; default: one by them. */
  readonly sampler?: Sampler
  /**
   * The storage of the KV cache; default `int8` with weights that round activations, else `f32`. `int8` takes a quarter of the memory and of
   * the memory traffic of a long text; its logits differ slightly.
   */
  readonly cache?: CacheStorage
  /**
   * Called with the mask in force, null for dense, before the first token and before each token under another mask:
   * `achievedSparsity` says how much it skips.
   */
  readonly onMask?: (mask: UnitMask | null) => void
  /**
   * What the text goes on from, and what can be saved then (`ShadowModel.openSession`). The prompt of `generate` follows the text so
   * far, and may be empty; `chat` uses the cache of the last answer again. Storage, cache, backend and, of a text, the planner must be
   * those of the session.
   */
  readonly session?: TextSession
  /** Called when the text has ended, however it did, with how often the planner decided and what dense checks did. */
  readonly onEnd?: (text: TextRun) => void
}

/** The default limit of an answer, in tokens. */
export const MAX_ANSWER = 1024

/** How an answer is generated. */
export interface ChatOptions extends Omit<GenerateOptions, 'maxTokens'> {
  /** The maximal number of tokens; default 1024, or fewer if the model's context ends before. */
  readonly maxTokens?: number
  /** Variables of the template, such as `{ enable_thinking: false }` of Qwen3. */
  readonly chatTemplateKwargs?: TemplateVariables
  /** Called when the chat has been read, before the first token of the answer. */
  readonly onPrompt?: (prompt: PromptRun) => void
}

/** One token of a text. */
export interface GenerateStep {
  /** The characters that this token completes; empty if it completes none. */
  readonly text: string
  /** Its id. */
  readonly token: number
  /** 0 for the first token after the prompt. */
  readonly index: number
  /**
   * Of a chat: whether the text is what the model thinks before it answers, from `<think>` to `</think>`. It is no part of the answer
   * and of the next prompt.
   */
  readonly thinking?: true
}

/** A batch. Each row of the attention mask is one run of ones, with zeros for padding. */
export interface BatchInput {
  /** Ids: [B, T]. */
  readonly input_ids: IdTable
  /** 1 for a token, 0 for padding: [B, T]. Default: no padding. */
  readonly attention_mask?: IdTable
}

/** The perplexity of the dense model on a text. Under masks, `textPerplexity` measures it. */
export interface Perplexity {
  /** exp of the mean negative log-likelihood per token. */
  readonly tokenPerplexity: number
  /** The same per whitespace-separated word. */
  readonly wordPerplexity: number
  /** Sum of negative log-likelihoods, in nats. */
  readonly nll: number
  /** How many tokens are scored. */
  readonly tokens: number
  /** How many words the text has. */
  readonly words: number
}

/** The options of `fromPretrained`. */
export const openKinds: Kinds<OpenOptions> = {
  backend: backendOption,
  storage: storageChoiceOption,
  threads: threadsOption,
  revision: kinds.text,
  offline: kinds.flag,
  signal: kinds.signal,
  onProgress: kinds.call,
}

/** The options of `mask`. */
export const maskKinds: Kinds<MaskOptions> = {
  ...choiceKinds,
  planner: kinds.planner,
  continuation: kinds.ids,
}

/** The options of `forward`. */
export const planKinds: Kinds<PlanOptions> = {
  ...choiceKinds,
  planner: kinds.planner,
  mode: modeOption,
  check: checkOption,
  signal: kinds.signal,
}

/** The options of `generate`. */
export const generateKinds: Kinds<GenerateOptions> = {
  ...planKinds,
  ...samplingOptions,
  maxTokens: maxTokensOption,
  stop: stopOption,
  sampler: { ...kinds.call, code: 'SAMPLER' },
  cache: cacheOption,
  session: {
    words: 'a session of openSession',
    holds: (value) => isObject(value) && 'alone' in value && 'save' in value,
  },
  onMask: kinds.call,
  onEnd: kinds.call,
}

/**
 * What chooses the tokens of a text: the sampler that is given, or one by the other options.
 * @throws UsageError SAMPLER for an option beside a sampler that it would not read; what `makeSampler` throws
 */
export function samplerOf({ sampler, seed, ...options }: GenerateOptions): Sampler {
  if (sampler === undefined) return makeSampler({ ...options, seed })
  const names = Object.keys(samplingOptions) as (keyof typeof options)[]
  const name = names.find((option) => options[option] !== undefined)
  if (name === undefined) return sampler
  throw new UsageError(
    'SAMPLER',
    `sampler: expected no ${name} beside a sampler, which chooses tokens itself, got ${describeValue(options[name])}`,
    { option: name },
  )
}

/** The options of `chat`. */
export const chatKinds: Kinds<ChatOptions> = {
  ...generateKinds,
  chatTemplateKwargs: variablesOption,
  onPrompt: kinds.call,
}

/** Who may speak in a chat: the roles of the OpenAI API. */
const roles: readonly unknown[] = ['system', 'developer', 'user', 'assistant', 'tool', 'function']

/**
 * Checks the messages of a chat, of the library and of requests.
 * @throws UsageError MESSAGES
 */
export function expectMessages(messages: readonly ChatMessage[]): void {
  if (!Array.isArray(messages) || messages.length === 0)
    throw new UsageError(
      'MESSAGES',
      `messages: expected a list of at least one message, got ${describeValue(messages)}`,
      { option: 'messages' },
    )
  messages.forEach((message: unknown, i) => {
    const { role, content } = (isObject(message) ? message : {}) as Partial<ChatMessage>
    if (!roles.includes(role))
      throw new UsageError(
        'MESSAGES',
        `message ${i}: expected a role that is one of ${roles.join(', ')}, got ${describeValue(role)}`,
        { option: 'messages' },
      )
    if (typeof content !== 'string')
      throw new UsageError(
        'MESSAGES',
        `message ${i}: expected text as its content, got ${describeValue(content)}`,
        { option: 'messages' },
      )
  })
  if (messages.at(-1)?.role === 'assistant')
    throw new UsageError(
      'MESSAGES',
      `messages: expected a question as the last one, got an answer in message ${messages.length - 1}`,
      { option: 'messages' },
    )
}

/** The template of a model that is to chat. @throws InputError CHAT_TEMPLATE_MISSING */
export function expectTemplate(model: string, template: ChatTemplate | null): ChatTemplate {
  if (template) return template
  throw new InputError(
    'CHAT_TEMPLATE_MISSING',
    `${model}: expected a model with a chat template, such as HuggingFaceTB/SmolLM2-135M-Instruct or a GGUF file of it, got none`,
  )
}

/** The options of `perplexity`. */
export const perplexityKinds: Kinds<{ readonly signal?: AbortSignal }> = { signal: kinds.signal }
