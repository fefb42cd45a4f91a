/**
 * Text, token by token.
 *
 * The mask is decided while the prompt runs and, where the planner wants it, again now and then (see Sequence); every
 * later token costs one cached step under it. The loop gives the event loop a turn now and then, so that timers, input
 * and an abort get through while it works.
 */
import type { MaskPlanner } from '../masks/planner.ts'
import type { UnitMask } from '../masks/mask.ts'
import { UsageError } from '../tensor/errors.ts'
import { Conversation } from './conversation.ts'
import type { CacheStorage } from './layer_cache.ts'
import type { LanguageModel } from './language_model.ts'
import { argmax, type Sampler } from './sampling.ts'
import type { MaskMode } from './active_block.ts'

/** How a text is written and when it ends. */
export interface GenerateOptions {
  /** How many tokens at most. */
  readonly maxTokens: number
  readonly mask?: UnitMask | null
  readonly planner?: MaskPlanner | null
  /** Default `auto`. */
  readonly mode?: MaskMode
  /** What keys and values are stored as; default `int8` where weights are, else `f32`. */
  readonly cache?: CacheStorage
  /** Default greedy. */
  readonly sampler?: Sampler
  /** Ids that end the text; they are not handed out. Default: the model's `</s>`. */
  readonly stopIds?: Iterable<number>
  readonly signal?: AbortSignal
  /** Where the cache of the last text is, and that of this one will be; default: none is kept. */
  readonly conversation?: Conversation
  /** Called when the prompt has been run. */
  readonly onPrompt?: (prompt: PromptRun) => void
  /** Called with the mask in force, null for dense, before the first token and before each token under another mask. */
  readonly onMask?: (mask: UnitMask | null) => void
}

/** How a prompt was run. */
export interface PromptRun {
  /** Tokens of the prompt. */
  readonly tokens: number
  /** Those whose keys and values were in the cache. */
  readonly reused: number
  /** The mask it decided; null is dense. */
  readonly mask: UnitMask | null
}

/** One token of the text. */
export interface GeneratedToken {
  readonly token: number
  /** 0 for the first token after the prompt. */
  readonly index: number
  /** What it was chosen from: [V]. */
  readonly logits: Float32Array
}

/** Why a text ended. */
export type GenerateEnd = 'stop' | 'length'

/** Milliseconds of work before the event loop gets a turn. */
const TURN = 25

/** Positions after the prompt for which the cache has room at once; it grows for longer texts. */
const MAX_RESERVED = 512

/**
 * Writes on from a prompt. Leaving the loop early frees everything, as does an error.
 * @param prompt [T], at least one token
 * @returns (when exhausted) whether a stop id or the length ended the text
 * @throws UsageError CONTEXT_LENGTH if prompt and maxTokens together exceed the model's positions, MAX_TOKENS, TOKENS,
 *   and what `LanguageModel.begin` throws; the signal's reason if it is aborted
 */
export async function* generateTokens(
  model: LanguageModel,
  prompt: Int32Array,
  options: GenerateOptions,
): AsyncGenerator<GeneratedToken, GenerateEnd, void> {
  const { maxTokens, signal, sampler = argmax } = options
  const stops = new Set(options.stopIds ?? model.config.eosIds)
  checkLength(model, prompt.length, maxTokens)
  signal?.throwIfAborted()
  const { conversation = new Conversation(false) } = options
  const capacity = prompt.length + Math.min(maxTokens, MAX_RESERVED)
  const { mask, planner, mode, cache } = options
  let turnStarted = performance.now()
  const begun = { mask, planner, mode, cache, capacity, expectedTokens: maxTokens - 1 }
  const { sequence, reused, ...first } = conversation.begin(model, prompt, begun)
  const fed = [...prompt]
  let told: UnitMask | null | undefined
  try {
    options.onPrompt?.({ tokens: prompt.length, reused, mask: sequence.mask })
    let { logits } = first
    for (let index = 0; index < maxTokens; index++) {
      if (performance.now() - turnStarted > TURN) {
        await nextTurn()
        turnStarted = performance.now()
      }
      signal?.throwIfAborted()
      const token = sampler(logits, fed)
      if (stops.has(token)) return 'stop'
      if (told !== sequence.mask) options.onMask?.((told = sequence.mask))
      yield { token, index, logits }
      if (index + 1 === maxTokens) break
      fed.push(token)
      logits = sequence.feed(Int32Array.of(token), 'last')
    }
    return 'length'
  } finally {
    conversation.keep(sequence, fed)
  }
}

function checkLength(model: LanguageModel, promptLength: number, maxTokens: number): void {
  const { positions } = model.config
  if (!Number.isInteger(maxTokens) || maxTokens < 0)
    throw new UsageError('MAX_TOKENS', `maxTokens: expected a whole number from 0, got ${maxTokens}`)
  if (promptLength + maxTokens > positions)
    throw new UsageError(
      'CONTEXT_LENGTH',
      `prompt and maxTokens: expected at most ${positions} positions together, got ${promptLength} + ${maxTokens}`,
    )
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0))
}
