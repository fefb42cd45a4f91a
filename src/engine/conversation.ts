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
 * - where a window has slid past what the next tokens see, nothing is used again;
 * - under a planner that decides again later, or layer by layer, or leaves the prompt dense: nothing is used again.
 */
import { expectMask, sameMask, type UnitMask } from '../masks/mask.ts'
import { isOneMask, wrapPlanner, type MaskPlanner } from '../masks/planner.ts'
import { defaultCache } from './layer_cache.ts'
import type { LanguageModel } from './language_model.ts'
import type { Sequence, SequenceOptions } from './sequence.ts'

/** A sequence whose prompt has been run. */
interface BegunSequence {
  readonly sequence: Sequence
  /** Of the last token of the prompt: [V]. */
  readonly logits: Float32Array
  /** Tokens of the prompt that were in the cache. */
  readonly reused: number
}

/** A kept sequence and what it was fed. */
interface Kept {
  readonly model: LanguageModel
  readonly sequence: Sequence
  readonly tokens: readonly number[]
  /** The settings that must be equal, besides the mask. */
  readonly how: string
}

/** How a begun sequence runs, for the moment it is kept. */
interface Running {
  readonly model: LanguageModel
  readonly how: string
  readonly decidesOnce: boolean
}

/** Thrown through a feed when the planner decides the mask of the kept sequence. */
class SameMask extends Error {
  readonly mask: UnitMask | null
  constructor(mask: UnitMask | null) {
    super('the mask of the kept sequence')
    this.mask = mask
  }
}

/** Keeps the sequence of the last turn. Dispose it. */
export class Conversation {
  readonly #keeps: boolean
  readonly #running = new WeakMap<Sequence, Running>()
  #kept: Kept | null = null
  #disposed = false

  /** @param keeps false: every prompt is run anew */
  constructor(keeps = true) {
    this.#keeps = keeps
  }

  /**
   * Runs a prompt, from where it parts from the kept text if that gives the bits of a fresh run. What was
   * kept is taken: a prompt that begins meanwhile runs anew.
   * @throws what `LanguageModel.begin` and `Sequence.feed` throw
   */
  begin(model: LanguageModel, prompt: Int32Array, options: SequenceOptions): BegunSequence {
    const { planner = null, mask = null, mode = 'auto', cache, rewinds = false } = options
    const how = `${mode} ${cache ?? defaultCache(model.weights.storage)} ${rewinds}`
    const decidesOnce = planner === null || isOneMask(planner)
    const running = { model, how, decidesOnce }
    const kept = this.#take()
    const shared = kept ? sharedLength(kept.tokens, prompt) : 0
    let isUsed = false
    try {
      const isUsable =
        shared > 0 && kept?.model === model && kept.how === how && kept.sequence.canRewind(shared)
      if (kept && isUsable && decidesOnce) {
        const decided = planner ? this.#runUnlessSame(kept, prompt, options, planner) : { mask }
        if ('sequence' in decided) return this.#started(decided.sequence, decided.logits, 0, running)
        if (sameMask(decided.mask, kept.sequence.mask)) {
          kept.sequence.rewind(shared, decided.mask)
          const logits = kept.sequence.feed(prompt.subarray(shared), 'last')
          isUsed = true
          return this.#started(kept.sequence, logits, shared, running)
        }
      }
    } finally {
      if (!isUsed) kept?.sequence.dispose()
    }
    const sequence = model.begin(options)
    return this.#started(sequence, feedFirst(sequence, prompt), 0, running)
  }

  /** A turn has ended. @param tokens what the sequence was fed, or was to be fed */
  keep(sequence: Sequence, tokens: readonly number[]): void {
    const running = this.#running.get(sequence)
    const { length } = sequence
    if (!this.#keeps || this.#disposed || !running?.decidesOnce || length === 0) return sequence.dispose()
    this.#take()?.sequence.dispose()
    this.#kept = { ...running, sequence, tokens: tokens.slice(0, length) }
  }

  /** Frees the kept sequence; nothing is kept afterwards. Safe to call twice. */
  dispose(): void {
    this.#disposed = true
    this.#take()?.sequence.dispose()
  }

  #take(): Kept | null {
    const kept = this.#kept
    this.#kept = null
    return kept
  }

  #started(sequence: Sequence, logits: Float32Array, reused: number, running: Running): BegunSequence {
    this.#running.set(sequence, running)
    return { sequence, logits, reused }
  }

  /**
   * Runs a prompt under its planner, as far as it takes to know that the mask is that of the kept sequence.
   */
  #runUnlessSame(
    kept: Kept,
    prompt: Int32Array,
    options: SequenceOptions,
    planner: MaskPlanner,
  ): { sequence: Sequence; logits: Float32Array } | { mask: UnitMask | null } {
    // A planner that decides once is asked nothing but this.
    const watched = wrapPlanner(planner, (ask) => {
      const mask = (ask() ?? null) as UnitMask | null
      if (mask) expectMask(mask)
      if (sameMask(mask, kept.sequence.mask)) throw new SameMask(mask)
      // Two caches at once are avoided.
      kept.sequence.dispose()
      return mask as ReturnType<typeof ask>
    })
    const sequence = kept.model.begin({ ...options, planner: watched })
    try {
      return { sequence, logits: feedFirst(sequence, prompt) }
    } catch (error) {
      if (error instanceof SameMask) return { mask: error.mask }
      throw error
    }
  }
}

/** Feeds a prompt; the sequence is freed if that fails. */
function feedFirst(sequence: Sequence, prompt: Int32Array): Float32Array {
  try {
    return sequence.feed(prompt, 'last')
  } catch (error) {
    sequence.dispose()
    throw error
  }
}

/** How many tokens two texts share, short of the last of the prompt: its logits are needed. */
function sharedLength(tokens: readonly number[], prompt: Int32Array): number {
  const most = Math.min(tokens.length, prompt.length - 1)
  let length = 0
  while (length < most && tokens[length] === prompt[length]) length++
  return length
}
