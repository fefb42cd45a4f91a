/**
 * A text that goes on where it ended: the next prompt is what follows, and nothing that was run is run again.
 *
 * Unlike a turn of a conversation (conversation.ts), which is one prompt from its first token on, what follows stands under the mask
 * that the text had, until its planner is asked again.
 */
import { UsageError } from '../tensor/errors.ts'
import { concatenate } from '../tensor/concatenate.ts'
import type { RandomState } from '../tensor/random.ts'
import {
  feedFirst,
  type BegunSequence,
  type EndedText,
  type TextPlace,
  type WritingHow,
} from './conversation.ts'
import type { LanguageModel } from './language_model.ts'
import type { Sequence, SequenceOptions, SequenceState } from './sequence.ts'

/** All that a text goes on from. */
export interface TextState {
  /** Those from `sequence.length` on have not run yet. */
  readonly tokens: readonly number[]
  /** What the next token is chosen from, if all have run: [V]. */
  readonly logits: Float32Array | null
  /** The random numbers that are yet to be drawn; null if none has been. */
  readonly random: RandomState | null
  readonly sequence: SequenceState
}

/** The sequence of a text that is not being written. */
interface Kept extends Omit<TextState, 'sequence'> {
  /** Itself, or what it is to go on from. */
  readonly sequence: Sequence | SequenceState
}

/** Keeps a text. Dispose it. */
export class KeptText implements TextPlace {
  #kept: Kept | null
  /** Of the last run that drew; later ones may be greedy. */
  #random: RandomState | null
  #isLost = false
  #disposed = false

  constructor(state: TextState | null = null) {
    this.#kept = state
    this.#random = state?.random ?? null
  }

  /** The text so far; empty while it is being written. */
  get tokens(): readonly number[] {
    return this.#kept?.tokens ?? []
  }

  /** All that the text goes on from; null before a first one, and while it is being written. */
  get state(): TextState | null {
    if (!this.#kept) return null
    const { sequence } = this.#kept
    return { ...this.#kept, sequence: 'model' in sequence ? sequence.state() : sequence }
  }

  /**
   * Runs what follows, in one step: a text that is left in between could not go on. The first prompt may be left.
   * @param prompt may be empty if there is a text
   * @param options those of the text so far, which must all be checked, or not
   * @throws UsageError PROMPT if there is nothing to run, and what `LanguageModel.begin` and `Sequence.feed` throw
   */
  *begin(
    model: LanguageModel,
    prompt: Int32Array,
    options: SequenceOptions,
    { sampler, isChecked }: WritingHow,
  ): Generator<null, BegunSequence, void> {
    const kept = this.#kept
    if (this.#isLost)
      throw new UsageError('SESSION', 'session: expected a text that ended, got one that an error has cut')
    if (!kept && prompt.length === 0) throw new UsageError('PROMPT', 'prompt: expected some text, got none')
    // Until it is kept again.
    this.#isLost = true
    this.#kept = null
    if (!kept) {
      const sequence = model.begin(options)
      const logits = yield* feedFirst(sequence, prompt)
      return { sequence, logits, reused: 0, text: prompt }
    }
    const { planner, mode, capacity, expectedTokens } = options
    const sequence =
      'model' in kept.sequence
        ? kept.sequence
        : model.resume(kept.sequence, { planner, mode, capacity, expectedTokens })
    if (this.#random && sampler.random) sampler.random.state = this.#random
    const reused = sequence.length
    const text = concatenate(Int32Array, [Int32Array.from(kept.tokens), prompt])
    const rest = text.subarray(reused)
    // All that is checked follows a dense cache.
    const feed = (): Float32Array =>
      isChecked ? sequence.feedDense(rest, 'last') : sequence.feed(rest, 'last')
    return { ...whole(sequence, () => (rest.length === 0 && kept.logits) || feed()), reused, text }
  }

  keep(sequence: Sequence, tokens: readonly number[], { logits, sampler, isWhole }: EndedText): void {
    if (this.#disposed || !isWhole) return sequence.dispose()
    this.#isLost = false
    this.#random = sampler.random?.state ?? this.#random
    // Checks run ahead of the text.
    const run = logits ? tokens.length : tokens.length - 1
    if (sequence.length > run) sequence.rewind(run)
    this.#kept = { tokens: [...tokens], logits, random: this.#random, sequence }
  }

  /** Frees the sequence; nothing is kept afterwards. Safe to call twice. */
  dispose(): void {
    this.#disposed = true
    const sequence = this.#kept?.sequence
    if (sequence && 'model' in sequence) sequence.dispose()
    this.#kept = null
  }
}

/** A sequence and its logits; it is freed if that fails. */
function whole(sequence: Sequence, feed: () => Float32Array): Pick<BegunSequence, 'sequence' | 'logits'> {
  try {
    return { sequence, logits: feed() }
  } catch (error) {
    sequence.dispose()
    throw error
  }
}
