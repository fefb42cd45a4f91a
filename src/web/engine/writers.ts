/**
 * Two greedy generations in step, one sparse and one dense, and their divergence.
 *
 * KL(dense || sparse) compares distributions after the same tokens. While the texts agree, the dense generation gives the dense
 * distribution; from their first difference on a third sequence does, which runs dense over the sparse text.
 */
import { logitsDivergence } from '../../evaluation/score_window.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import { argmax } from '../../engine/sampling.ts'
import type { Sequence } from '../../engine/sequence.ts'
import { now } from '../../platform/platform.ts'
import type { Speeds } from './study_types.ts'

/** One text that is being generated. */
class Writer {
  readonly ids: number[] = []
  readonly sequence: Sequence
  logits: Float32Array // [V], of the next token
  #milliseconds = 0

  constructor(sequence: Sequence, tokens: Int32Array) {
    this.sequence = sequence
    this.logits = sequence.feed(tokens, 'last')
  }

  /** Tokens per second, without the prompt; null before the first token. */
  get tokensPerSecond(): number | null {
    return this.#milliseconds > 0 ? (1000 * this.ids.length) / this.#milliseconds : null
  }

  push(token: number): void {
    const start = now()
    this.logits = this.sequence.feed(Int32Array.of(token), 'last')
    this.#milliseconds += now() - start
    this.ids.push(token)
  }
}

/** The next tokens of both texts. */
export interface NextTokens {
  readonly token: number
  /** Null if the dense text has ended or is not generated. */
  readonly denseToken: number | null
  /** KL(dense || sparse) in nats; null without a dense text. */
  readonly kl: number | null
}

/** The two generations of one prompt. Dispose them. */
export class Writers {
  readonly #model: LanguageModel
  readonly #prompt: Int32Array // [P]
  readonly #maxTokens: number
  readonly #sparse: Writer
  readonly #dense: Writer | null
  readonly #open: Sequence[] = []
  #judge: Writer | null
  #divergence: number | null = null

  /** @param planner null is dense @param compares whether a dense text is generated too */
  constructor(
    model: LanguageModel,
    prompt: Int32Array,
    maxTokens: number,
    planner: MaskPlanner | null,
    compares: boolean,
  ) {
    this.#model = model
    this.#prompt = prompt
    this.#maxTokens = maxTokens
    try {
      this.#sparse = this.#begin(prompt, planner)
      this.#dense = compares ? this.#begin(prompt, null) : null
    } catch (error) {
      this.dispose()
      throw error
    }
    this.#judge = this.#dense
  }

  /** The first index where the texts differ; null while they agree. */
  get divergence(): number | null {
    return this.#divergence
  }

  get tokensPerSecond(): Speeds {
    return { sparse: this.#sparse.tokensPerSecond, dense: this.#dense?.tokensPerSecond ?? null }
  }

  /** The dense text, or the sparse one if there is no dense one: [N]. */
  get written(): readonly number[] {
    return this.#dense?.ids ?? this.#sparse.ids
  }

  /** The next tokens. This does not append them, but records the first difference. */
  next(): NextTokens {
    const token = argmax(this.#sparse.logits)
    // After `</s>` the dense text is not extended, so its next token stays `</s>`.
    const denseToken = this.#dense && argmax(this.#dense.logits)
    const kl = this.#judge && logitsDivergence(this.#judge.logits, this.#sparse.logits)
    if (this.#dense && this.#divergence === null && denseToken !== token) {
      this.#divergence = this.#sparse.ids.length
      this.#judge = this.#begin(Int32Array.of(...this.#prompt, ...this.#sparse.ids), null)
    }
    const ended = denseToken !== null && this.#model.config.eosIds.includes(denseToken)
    return { token, denseToken: ended ? null : denseToken, kl }
  }

  /** Appends them. */
  push({ token, denseToken }: NextTokens): void {
    this.#sparse.push(token)
    if (denseToken !== null) this.#dense?.push(denseToken)
    if (this.#judge !== this.#dense) this.#judge?.push(token)
  }

  dispose(): void {
    for (const sequence of this.#open) sequence.dispose()
  }

  #begin(tokens: Int32Array, planner: MaskPlanner | null): Writer {
    const sequence = this.#model.begin({
      planner,
      capacity: this.#prompt.length + this.#maxTokens,
      expectedTokens: this.#maxTokens - 1,
    })
    this.#open.push(sequence)
    return new Writer(sequence, tokens)
  }
}
