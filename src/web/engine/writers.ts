/**
 * Two greedy writers in step: one with units skipped, one dense, and what tells them apart.
 *
 * As long as they agree, the dense one is also the judge of the other: KL(dense || sparse) is of the distributions after
 * the same tokens. From their first difference on a third sequence, dense over the sparse text, takes that part.
 */
import { logitsDivergence } from '../../evaluation/score_window.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import { argmax } from '../../engine/sampling.ts'
import type { Sequence } from '../../engine/sequence.ts'
import { now } from '../../platform/platform.ts'
import type { Speeds } from './study_types.ts'

/** One text in the making. */
class Writer {
  readonly ids: number[] = []
  readonly sequence: Sequence
  logits: Float32Array // [V], of the next token
  #milliseconds = 0

  constructor(sequence: Sequence, tokens: Int32Array) {
    this.sequence = sequence
    this.logits = sequence.feed(tokens, 'last')
  }

  /** Of single tokens, the prompt left out; null before there was one. */
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

/** What the two write next. */
export interface NextTokens {
  readonly token: number
  /** Null where the dense text has ended, or nobody writes it. */
  readonly denseToken: number | null
  /** KL(dense || sparse) in nats; null where there is no dense one. */
  readonly kl: number | null
}

/** The texts of one prompt. Dispose them. */
export class Writers {
  readonly #model: OptModel
  readonly #prompt: Int32Array // [P]
  readonly #maxTokens: number
  readonly #sparse: Writer
  readonly #dense: Writer | null
  readonly #open: Sequence[] = []
  #judge: Writer | null
  #divergence: number | null = null
  #denseEnded = false

  /** @param planner null skips nothing @param compares whether a dense model writes beside it */
  constructor(
    model: OptModel,
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

  /** The first place where they differ; null as long as they agree. */
  get divergence(): number | null {
    return this.#divergence
  }

  get tokensPerSecond(): Speeds {
    return { sparse: this.#sparse.tokensPerSecond, dense: this.#dense?.tokensPerSecond ?? null }
  }

  /** The dense text, or the sparse one where nobody writes it: [N]. */
  get written(): readonly number[] {
    return this.#dense?.ids ?? this.#sparse.ids
  }

  /** The tokens that come next. Asking takes none of them in, but notes where they differ. */
  next(): NextTokens {
    const token = argmax(this.#sparse.logits)
    const denseToken = this.#dense && !this.#denseEnded ? argmax(this.#dense.logits) : null
    const kl = this.#judge && logitsDivergence(this.#judge.logits, this.#sparse.logits)
    if (this.#dense && this.#divergence === null && denseToken !== token) {
      this.#divergence = this.#sparse.ids.length
      this.#judge = this.#begin(Int32Array.of(...this.#prompt, ...this.#sparse.ids), null)
    }
    if (denseToken === this.#model.config.eosId) this.#denseEnded = true
    return { token, denseToken: this.#denseEnded ? null : denseToken, kl }
  }

  /** Takes them in. */
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
