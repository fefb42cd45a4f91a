/**
 * The cache of a conversation: the keys and values of one turn, kept for the next.
 *
 * A turn begins with the text of the turns before it, so most of its prompt has been run already. What was
 * run can be used again only if it has the bits that a fresh run would give. The whole text is one prompt,
 * and its mask holds for all of it:
 *
 * - dense, or under a mask given beforehand: every shared token is used again;
 * - under a planner that decides once: the source layer runs for the whole prompt, since the planner is
 *   asked there. If it decides the mask in force (as `static` and `random` do), every shared token is used
 *   again. Else none is: keys and values of the deeper layers depend on the mask;
 * - under a planner that decides once behind a dense prompt, by attention or by sums over its tokens (`griffin` and its like): the last
 *   prompt is used again, and the answer, whose keys and values depend on the mask, runs again. By attention, the source layer
 *   runs for the whole prompt;
 * - where a window has slid past what the next tokens see, nothing is used again;
 * - under a planner that decides again later, or reads the prompt in every layer and keeps no sums: nothing is used again.
 */
import type { Compensation } from '../masks/compensation.ts'
import { sameMask, type UnitMask } from '../masks/mask.ts'
import { isMaskAfterPrompt, isOneMask, wrapPlanner, type MaskPlanner } from '../masks/planner.ts'
import type { MaskMode } from './active_layer.ts'
import { defaultCache, type CacheStorage } from './layer_cache.ts'
import type { LanguageModel } from './language_model.ts'
import { expectModelMask } from './planner_answers.ts'
import type { Sampler } from './sampling.ts'
import type { Sequence, SequenceOptions, SequenceState } from './sequence.ts'

/** A sequence whose prompt has been run. */
export interface BegunSequence {
  readonly sequence: Sequence
  /** Of the last token of the prompt: [V]. */
  readonly logits: Float32Array
  /** Tokens of the prompt that were in the cache. */
  readonly reused: number
  /** The tokens so far, those of the prompt last. */
  readonly text: Int32Array
}

/** How a text ended. */
export interface EndedText {
  /** What its next token is chosen from, if all of its tokens have run: [V]. */
  readonly logits: Float32Array | null
  readonly sampler: Sampler
  /** Whether no feed was cut short by an error. */
  readonly isWhole: boolean
}

/** How a text is written, besides the options of its sequence. */
export interface WritingHow {
  /** It may have drawn before. */
  readonly sampler: Sampler
  /** Whether the text is checked dense: then all of it runs dense. */
  readonly isChecked: boolean
}

/** Where the sequence of a text comes from, and where it goes when the text has ended. */
export interface TextPlace {
  /** The tokens that stand before a prompt. */
  readonly tokens: readonly number[]
  /** Runs a prompt, and yields null now and then while it does. What is left in between is freed, where its tokens can run again. */
  begin(
    model: LanguageModel,
    prompt: Int32Array,
    options: SequenceOptions,
    how: WritingHow,
  ): Generator<null, BegunSequence, void>
  /** @param tokens of the whole text; the last one may not have run */
  keep(sequence: Sequence, tokens: readonly number[], end: EndedText): void
}

/** All that a conversation goes on from. */
export interface ConversationState {
  readonly tokens: readonly number[]
  /** The mode under which they ran. */
  readonly mode: MaskMode
  readonly sequence: SequenceState
}

/** How a sequence runs: what must be equal, besides the mask, for another to go on from it. */
interface Running {
  readonly model: LanguageModel
  readonly mode: MaskMode
  readonly cache: CacheStorage
  readonly compensation: Compensation | null
  readonly rewinds: boolean
}

/** A kept sequence and what it was fed. */
interface Kept extends Running {
  readonly sequence: Sequence
  readonly tokens: readonly number[]
}

/** Thrown through a feed when the planner has decided, and the rest of the feed is not needed. */
class Decided extends Error {
  readonly mask: UnitMask
  constructor(mask: UnitMask) {
    super('the planner has decided')
    this.mask = mask
  }
}

/**
 * Keeps the sequence of the last turn of a chat, so that the next prompt runs only from where it differs: pass it to
 * `generateTokens` as `conversation`. `ShadowModel.chat` has one of its own. Dispose it.
 */
export class Conversation implements TextPlace {
  /** A turn is one prompt. */
  readonly tokens: readonly number[] = []
  readonly #keeps: boolean
  /** How those run of which a later turn may use something again. */
  readonly #running = new WeakMap<Sequence, Running>()
  #kept: Kept | null = null
  /** What it was made from, until the first turn. */
  #restored: ConversationState | null
  #disposed = false

  /**
   * @param keeps false: every prompt is run anew
   * @param state of a conversation with the same model
   */
  constructor(keeps = true, state: ConversationState | null = null) {
    this.#keeps = keeps
    this.#restored = state
  }

  /** The tokens that the next turn may use again, and the bytes that they take; null if there are none, and during a turn. */
  get held(): { readonly tokens: readonly number[]; readonly bytes: number } | null {
    return this.#kept && { tokens: this.#kept.tokens, bytes: this.#kept.sequence.bytes }
  }

  /** All that the next turn may use again; null if that is nothing, and during a turn. */
  get state(): ConversationState | null {
    if (!this.#kept) return this.#restored
    const { tokens, mode, sequence } = this.#kept
    // A planner that decides once is not asked again.
    return { tokens, mode, sequence: { ...sequence.state(), planner: null } }
  }

  /**
   * Runs a prompt, from where it parts from the kept text if that gives the bits of a fresh run. What was
   * kept is taken: a prompt that begins meanwhile runs anew.
   * @param prompt [T], the whole text so far
   * @throws what `LanguageModel.begin` and `Sequence.feed` throw
   */
  *begin(
    model: LanguageModel,
    prompt: Int32Array,
    options: SequenceOptions,
  ): Generator<null, BegunSequence, void> {
    const { planner = null, mask = null, mode = 'auto', rewinds = false } = options
    const { cache = defaultCache(model.weights.storage) } = options
    const decidesLate = planner !== null && isMaskAfterPrompt(planner)
    const decidesOnce = planner === null || isOneMask(planner)
    const compensation = planner?.compensation ?? options.compensation ?? null
    const running = decidesOnce || decidesLate ? { model, mode, cache, compensation, rewinds } : null
    const kept = this.#take() ?? this.#restore(model, compensation)
    const shared = kept ? sharedLength(kept.tokens, prompt) : 0
    let isUsed = false
    try {
      const isAlike =
        kept?.model === model &&
        kept.mode === mode &&
        kept.cache === cache &&
        kept.rewinds === rewinds &&
        kept.compensation === compensation
      const usable = kept && shared > 0 && isAlike && kept.sequence.canRewind(shared) ? kept : null
      if (usable && decidesLate && !usable.sequence.mask) {
        const { sequence } = usable
        const from = planner.by === 'prompt' ? sequence.summedFor(planner) : shared
        if (from > 0 && from <= shared && sequence.canRewind(from)) {
          const by =
            planner.by === 'prompt' ? planner : yield* this.#decidedFor(model, prompt, options, planner)
          sequence.rewind(from, null)
          const logits = yield* sequence.lengthenPrompt(prompt, by)
          isUsed = true
          return this.#started(sequence, logits, from, prompt, running)
        }
      }
      if (usable && decidesOnce) {
        const { sequence } = usable
        const decided = planner ? yield* this.#runUnlessSame(usable, prompt, options, planner) : { mask }
        if ('sequence' in decided) return this.#started(decided.sequence, decided.logits, 0, prompt, running)
        if (sameMask(decided.mask, sequence.mask)) {
          sequence.rewind(shared, decided.mask)
          const logits = yield* sequence.feedInSteps(prompt.subarray(shared), 'last')
          isUsed = true
          return this.#started(sequence, logits, shared, prompt, running)
        }
      }
    } finally {
      if (!isUsed) kept?.sequence.dispose()
    }
    const sequence = model.begin(options)
    return this.#started(sequence, yield* feedFirst(sequence, prompt), 0, prompt, running)
  }

  /** A turn has ended. @param tokens what the sequence was fed, or was to be fed */
  keep(sequence: Sequence, tokens: readonly number[]): void {
    const running = this.#running.get(sequence)
    if (!this.#keeps || this.#disposed || !running || sequence.length === 0) return sequence.dispose()
    this.#take()?.sequence.dispose()
    // Tokens under a mask that was decided after a dense prompt are not used again.
    if (!sequence.forgetMask()) return sequence.dispose()
    sequence.freeScratch()
    this.#kept = { ...running, sequence, tokens: tokens.slice(0, sequence.length) }
  }

  /** Frees the kept sequence; nothing is kept afterwards. Safe to call twice. */
  dispose(): void {
    this.#disposed = true
    this.#restored = null
    this.#take()?.sequence.dispose()
  }

  #take(): Kept | null {
    const kept = this.#kept
    this.#kept = null
    return kept
  }

  /** What the conversation was made from, as a kept sequence. */
  #restore(model: LanguageModel, compensation: Compensation | null): Kept | null {
    const restored = this.#restored
    this.#restored = null
    if (!restored) return null
    const { tokens, mode, sequence } = restored
    const { storage: cache, rewinds } = sequence
    const resumed = model.resume(sequence, { mode, compensation })
    return { model, tokens, mode, cache, compensation, rewinds, sequence: resumed }
  }

  #started(
    sequence: Sequence,
    logits: Float32Array,
    reused: number,
    text: Int32Array,
    running: Running | null,
  ): BegunSequence {
    if (running) this.#running.set(sequence, running)
    return { sequence, logits, reused, text }
  }

  /** Runs a prompt under a planner by attention, as far as it takes to have its mask. */
  *#decidedFor(
    model: LanguageModel,
    prompt: Int32Array,
    options: SequenceOptions,
    planner: MaskPlanner,
  ): Generator<null, UnitMask, void> {
    const decided = yield* this.#runUnless(model, prompt, options, planner, () => true)
    return ('mask' in decided ? decided.mask : decided.sequence.mask) as UnitMask
  }

  /**
   * Runs a prompt under its planner, as far as it takes to know that the mask is that of the kept sequence.
   */
  *#runUnlessSame(
    kept: Kept,
    prompt: Int32Array,
    options: SequenceOptions,
    planner: MaskPlanner,
  ): Generator<null, { sequence: Sequence; logits: Float32Array } | { mask: UnitMask | null }, void> {
    return yield* this.#runUnless(kept.model, prompt, options, planner, (mask) => {
      if (sameMask(mask, kept.sequence.mask)) return true
      // Two caches at once are avoided.
      kept.sequence.dispose()
      return false
    })
  }

  /** Runs a prompt under a planner that is asked once. @param isEnough whether its mask is all that is needed */
  *#runUnless(
    model: LanguageModel,
    prompt: Int32Array,
    options: SequenceOptions,
    planner: MaskPlanner,
    isEnough: (mask: UnitMask) => boolean,
  ): Generator<null, { sequence: Sequence; logits: Float32Array } | { mask: UnitMask | null }, void> {
    const watched = wrapPlanner(planner, (ask) => {
      const mask = ask()
      // The sequence checks an answer that it is given; this one may never come to it.
      expectModelMask(planner, mask as UnitMask, model.shape, options.mode !== 'simulate')
      if (isEnough(mask as UnitMask)) throw new Decided(mask as UnitMask)
      return mask
    })
    const sequence = model.begin({ ...options, planner: watched })
    try {
      return { sequence, logits: yield* feedFirst(sequence, prompt) }
    } catch (error) {
      if (error instanceof Decided) return { mask: error.mask }
      throw error
    }
  }
}

/** Feeds a prompt; the sequence is freed if that fails or is left. */
export function* feedFirst(sequence: Sequence, prompt: Int32Array): Generator<null, Float32Array, void> {
  let isFed = false
  try {
    const logits = yield* sequence.feedInSteps(prompt, 'last')
    isFed = true
    return logits
  } finally {
    if (!isFed) sequence.dispose()
  }
}

/** How many tokens two texts share, short of the last of the prompt: its logits are needed. */
export function sharedLength(tokens: readonly number[], prompt: Int32Array): number {
  const most = Math.min(tokens.length, prompt.length - 1)
  let length = 0
  while (length < most && tokens[length] === prompt[length]) length++
  return length
}
