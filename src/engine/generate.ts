/**
 * Text, token by token.
 *
 * The mask is decided while the prompt runs and, where the planner wants it, again now and then (see Sequence); every
 * later token costs one cached step under it, or is checked dense (next_tokens.ts). The loop gives the event loop a turn
 * now and then, so that timers, input and an abort get through while it works.
 */
import type { UnitMask } from '../masks/mask.ts'
import { UsageError } from '../tensor/errors.ts'
import { expectOption, wholeOption, type OptionRecord } from '../tensor/option.ts'
import { Conversation, type TextPlace } from './conversation.ts'
import type { LanguageModel } from './language_model.ts'
import { expectCheckable, TokenChooser, type CheckCounts, type ChosenToken } from './next_tokens.ts'
import { argmax, type Sampler } from './sampling.ts'
import type { SequenceOptions } from './sequence.ts'

/** How a text is written and when it ends. */
export interface GenerateOptions extends Pick<SequenceOptions, 'mask' | 'planner' | 'mode' | 'cache'> {
  /** How many tokens at most. */
  readonly maxTokens: number
  /** Default greedy. */
  readonly sampler?: Sampler
  /**
   * Run so many tokens at a time again dense, and put the dense choice in the place of the first that is another
   * (next_tokens.ts): the text is that of the dense model. The prompt must run dense. Without a planner nothing is checked.
   */
  readonly check?: number
  /** Ids that end the text; they are not handed out. Default: the model's `</s>`. */
  readonly stopIds?: Iterable<number>
  /** Ends the text; the call then throws the signal's reason. */
  readonly signal?: AbortSignal
  /** Where the sequence of the last text is, and that of this one will be; default: none is kept. */
  readonly conversation?: TextPlace
  /** Called when the prompt has been run. */
  readonly onPrompt?: (prompt: PromptRun) => void
  /** Called with the mask in force, null for dense, before the first token and before each token under another mask. */
  readonly onMask?: (mask: UnitMask | null) => void
  /** Called when the text has ended, however it did. */
  readonly onEnd?: (text: TextRun) => void
}

/** How a prompt was run. */
export interface PromptRun {
  /** Tokens of the prompt, and of the text that it follows. */
  readonly tokens: number
  /** Those whose keys and values were in the cache. */
  readonly reused: number
  /** The mask it decided; null is dense. */
  readonly mask: UnitMask | null
}

/** How a text was run. */
export interface TextRun {
  /** How many times a mask was decided; 0 without a planner. */
  readonly decisions: number
  /** The results of dense checks; null without checks. */
  readonly checked: CheckCounts | null
}

/** One token of the text. */
export interface GeneratedToken extends ChosenToken {
  /** 0 for the first token after the prompt. */
  readonly index: number
}

/** Why a text ended. */
export type GenerateEnd =
  /** The model wrote a token that ends a text; of `ShadowModel`, also a stop text. */
  | 'stop'
  /** The limit of tokens or the end of the context was reached. */
  | 'length'

/** Milliseconds of work before the event loop gets a turn. */
const TURN = 25

/** Positions after the prompt for which the cache has room at once; it grows for longer texts. */
export const MAX_RESERVED = 512

/**
 * Writes on from a prompt of token ids, one token a step: what `ShadowModel.generate` does, for a model without a tokenizer. Leaving the
 * loop early frees everything, as does an error.
 * @param prompt [T], at least one token
 * @returns (when exhausted) whether a stop id or the length ended the text
 * @throws UsageError CONTEXT_LENGTH if prompt and maxTokens together exceed the model's positions, MAX_TOKENS, TOKENS, SAMPLER for a sampler that returns no id,
 *   CHECK, and PREFILL or EVERY for what cannot be checked; and what `LanguageModel.begin` throws; the signal's reason if it
 *   is aborted
 * @specified `generate`
 * @example
 * ```ts
 * import { makeBudget, randomPlanner, ShadowModel } from 'shadowllm'
 * import { generateTokens, makeSampler } from 'shadowllm/model'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const prompt = Int32Array.from(opt.encode('Once upon a time', { prefix: true }))
 * const sampler = makeSampler({ temperature: 0.8, topK: 40, seed: 1 })
 * const planner = randomPlanner(opt.model.shape, makeBudget(0.3), 1)
 * for await (const { token, index } of generateTokens(opt.model, prompt, { maxTokens: 5, sampler, planner }))
 *   console.log(index, token)
 * await opt.dispose()
 * ```
 */
export async function* generateTokens(
  model: LanguageModel,
  prompt: Int32Array,
  options: GenerateOptions,
): AsyncGenerator<GeneratedToken, GenerateEnd, void> {
  const { maxTokens, signal, sampler = argmax } = options
  const stops = new Set(options.stopIds ?? model.config.eosIds)
  const { conversation = new Conversation(false) } = options
  const before = conversation.tokens.length + prompt.length
  checkLength(model, before, maxTokens)
  signal?.throwIfAborted()
  const capacity = before + Math.min(maxTokens, MAX_RESERVED)
  const { mask, planner, mode, cache, check } = options
  expectCheckable(check, planner ?? null, mask)
  let turnStarted = performance.now()
  const how = { sampler, isChecked: check !== undefined && Boolean(planner) }
  const rewinds = check !== undefined
  const begun = { mask, planner, mode, cache, capacity, rewinds, expectedTokens: maxTokens - 1 }
  const beginning = conversation.begin(model, prompt, begun, how)
  let step = beginning.next()
  try {
    for (; !step.done; step = beginning.next()) {
      if (performance.now() - turnStarted <= TURN) continue
      await nextTurn()
      signal?.throwIfAborted()
      turnStarted = performance.now()
    }
  } finally {
    // Frees what was begun, if the signal has ended it.
    if (!step.done) beginning.return(undefined as never)
  }
  const { sequence, reused, text, ...first } = step.value
  const chooser = new TokenChooser(sequence, { sampler, prompt: text, maxTokens, stops, check, planner })
  let told: UnitMask | null | undefined
  // The logits of the last token that has run, until a token is chosen from them that stays.
  let logits: Float32Array | null = first.logits
  let [isWhole, stopped] = [true, 0]
  try {
    options.onPrompt?.({ tokens: text.length, reused, mask: sequence.mask })
    const passes = chooser.tokens(first.logits)
    for (let index = 0; index < maxTokens;) {
      if (performance.now() - turnStarted > TURN) {
        await nextTurn()
        turnStarted = performance.now()
      }
      signal?.throwIfAborted()
      isWhole = false
      const chosen = passes.next().value
      isWhole = true
      if (!chosen) continue
      logits = null
      if (stops.has(chosen.token)) {
        ;({ logits } = chosen)
        stopped = 1
        return 'stop'
      }
      if (told !== sequence.mask) options.onMask?.((told = sequence.mask))
      yield { ...chosen, index }
      index++
    }
    return 'length'
  } finally {
    const run = { decisions: sequence.decisions, checked: chooser.counts }
    const tokens = chooser.text.slice(0, chooser.text.length - stopped)
    conversation.keep(sequence, tokens, { logits, sampler, isWhole })
    options.onEnd?.(run)
  }
}

/** The most tokens of a text. */
export const maxTokensOption: OptionRecord<number> = wholeOption('MAX_TOKENS', 0)

function checkLength(model: LanguageModel, promptLength: number, maxTokens: number): void {
  const { positions } = model.config
  expectOption('maxTokens', maxTokens, maxTokensOption)
  const room = Math.max(0, positions - promptLength)
  if (maxTokens > room)
    throw new UsageError(
      'CONTEXT_LENGTH',
      `prompt and maxTokens: expected at most ${positions} tokens together (the model's context), got ${promptLength} + ${maxTokens}; after this prompt ${room} fit`,
      { option: 'maxTokens' },
    )
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0))
}
