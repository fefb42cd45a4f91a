/**
 * The two texts of a study, one sparse and one dense, and their divergence.
 *
 * KL(dense || sparse) compares distributions after the same tokens, so the dense model then reads the sparse text.
 */
import { logitsDivergence } from '../../engine/divergence.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import { expectFinite } from '../../engine/finite_logits.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import { makeSampler, type Sampler, type SamplerOptions } from '../../engine/sampling.ts'
import type { Sequence } from '../../engine/sequence.ts'

/** How a text is generated. */
export interface WriterOptions extends Pick<SamplerOptions, 'temperature' | 'seed'> {
  readonly maxTokens: number
  /** Null is dense. */
  readonly planner: MaskPlanner | null
}

/** One text that is being generated. Dispose it. */
export class Writer {
  readonly #sequence: Sequence
  readonly #sampler: Sampler
  /** Of the next token: [V]. */
  logits: Float32Array

  /** Reads a prompt [P]. @throws UsageError TEMPERATURE, and as `LanguageModel.begin` */
  constructor(model: LanguageModel, prompt: Int32Array, options: WriterOptions) {
    const { maxTokens, planner, temperature, seed } = options
    this.#sampler = makeSampler({ temperature, seed })
    this.#sequence = model.begin({
      planner,
      capacity: prompt.length + maxTokens,
      expectedTokens: maxTokens - 1,
    })
    try {
      this.logits = this.#sequence.feed(prompt, 'last')
    } catch (error) {
      this.dispose()
      throw error
    }
  }

  /** Chooses the next token, once. It is not yet read. @throws InputError LOGITS_NOT_FINITE */
  next(): number {
    const token = this.#sampler(this.logits)
    expectFinite(this.logits[token])
    return token
  }

  /** Reads a token. */
  push(token: number): void {
    this.logits = this.#sequence.feed(Int32Array.of(token), 'last')
  }

  dispose(): void {
    this.#sequence.dispose()
  }
}

/**
 * KL(dense || sparse) of each token's distribution, in nats: [N].
 * @param tokens the sparse text [N] @param logits what each of its tokens was chosen from: N of [V]
 */
export function divergences(
  model: LanguageModel,
  prompt: Int32Array,
  tokens: readonly number[],
  logits: readonly Float32Array[],
): number[] {
  if (tokens.length === 0) return []
  const { vocabulary: V } = model.config
  const sequence = model.begin({ capacity: prompt.length + tokens.length })
  try {
    const first = sequence.feed(prompt, 'last')
    const read = Int32Array.from(tokens.slice(0, -1))
    const rest = read.length > 0 ? sequence.feed(read, 'all') : new Float32Array(0) // [N - 1, V]
    return logits.map((sparse, i) =>
      logitsDivergence(i === 0 ? first : rest.subarray((i - 1) * V, i * V), sparse),
    )
  } finally {
    sequence.dispose()
  }
}
