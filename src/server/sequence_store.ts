/**
 * The sequences of texts that have been written: a later prompt that begins alike goes on from one of them.
 *
 * Each is a `Conversation`, which uses its tokens again only where that gives the bits of reading anew, whatever is asked of it. A
 * text takes its conversation out and gives it back when it has ended, so that no two texts have one. What was used last is kept
 * longest.
 */
import { Conversation, sharedLength, type BegunSequence, type TextPlace } from '../engine/conversation.ts'

/** How much is kept. */
export interface StoreLimits {
  /** The most sequences. */
  readonly texts: number
  /** The most bytes of all of them; 0 keeps none. */
  readonly bytes: number
}

/** Tokens of a dense prompt that are read in one step. */
export const STEP = 32

/** A kept sequence. */
interface Kept {
  readonly conversation: Conversation
  readonly key: string
  readonly tokens: readonly number[]
  readonly bytes: number
  /** Tokens of its last prompt. */
  readonly prompt: number
}

/** Keeps sequences. */
export class SequenceStore {
  readonly #limits: StoreLimits
  /** What was used last stands last. */
  readonly #kept = new Set<Kept>()
  #bytes = 0
  #isOver = false

  constructor(limits: StoreLimits) {
    this.#limits = limits
  }

  /** Sequences, and their bytes. */
  get size(): StoreLimits {
    return { texts: this.#kept.size, bytes: this.#bytes }
  }

  /**
   * Where the sequence of one text comes from and goes.
   * @param key equal for texts of which one may go on from the other
   */
  place(key: string): TextPlace {
    let conversation = new Conversation()
    let length = 0
    return {
      tokens: conversation.tokens,
      begin: (model, prompt, options) => {
        length = prompt.length
        const taken = this.#take(key, prompt)
        if (taken) ({ conversation } = taken)
        // What a planner is asked for is the prompt as a whole; a dense one is read in parts, so that others get their turns.
        const first = options.planner ? length : Math.min((taken?.shared ?? 0) + STEP, length)
        return readOn(conversation.begin(model, prompt.subarray(0, first), options), prompt)
      },
      keep: (sequence, tokens) => {
        conversation.keep(sequence, tokens)
        this.#give(key, conversation, length)
      },
    }
  }

  /** Frees what is kept. */
  clear(): void {
    for (const kept of this.#kept) this.#free(kept)
  }

  /** Frees what is kept, and keeps nothing more. */
  dispose(): void {
    this.#isOver = true
    this.clear()
  }

  /**
   * Takes out the sequence that shares most with a prompt. One that shares less than half of its own prompt is left to the text
   * that it belongs to.
   */
  #take(key: string, prompt: Int32Array): { conversation: Conversation; shared: number } | null {
    let [best, most]: [Kept | null, number] = [null, 0]
    for (const kept of this.#kept) {
      if (kept.key !== key) continue
      const shared = sharedLength(kept.tokens, prompt)
      if (shared > most && 2 * shared >= Math.min(kept.prompt, kept.tokens.length))
        [best, most] = [kept, shared]
    }
    if (!best) return null
    this.#remove(best)
    return { conversation: best.conversation, shared: most }
  }

  #give(key: string, conversation: Conversation, prompt: number): void {
    const { held } = conversation
    if (!held || this.#isOver || held.bytes > this.#limits.bytes || this.#limits.texts === 0)
      return conversation.dispose()
    const kept = { conversation, key, prompt, ...held }
    this.#kept.add(kept)
    this.#bytes += kept.bytes
    for (const oldest of this.#kept) {
      if (this.#kept.size <= this.#limits.texts && this.#bytes <= this.#limits.bytes) break
      this.#free(oldest)
    }
  }

  #free(kept: Kept): void {
    this.#remove(kept)
    kept.conversation.dispose()
  }

  #remove(kept: Kept): void {
    this.#kept.delete(kept)
    this.#bytes -= kept.bytes
  }
}

/** Reads the rest of a prompt whose first tokens were begun. */
function* readOn(
  beginning: Generator<null, BegunSequence, void>,
  prompt: Int32Array,
): Generator<null, BegunSequence, void> {
  const begun = yield* beginning
  const { sequence } = begun
  let { logits } = begun
  let isRead = false
  try {
    while (sequence.length < prompt.length) {
      yield null
      logits = sequence.feed(prompt.subarray(sequence.length, sequence.length + STEP))
    }
    isRead = true
    return { ...begun, logits, text: prompt }
  } finally {
    // The text may have been left between two parts of its prompt.
    if (!isRead) sequence.dispose()
  }
}
