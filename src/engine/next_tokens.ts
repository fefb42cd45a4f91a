/**
 * The tokens after a prompt: chosen one by one under the mask, or checked dense.
 *
 * With a check every n tokens the rule is this. The prompt runs dense, so the first token is a dense choice, and settled. Then,
 * again and again:
 *
 *   1. From the last settled token on, n - 1 more are chosen under the mask: a draft.
 *   2. The cache is rewound to before the settled token. It and the draft run again dense, all n in one pass.
 *   3. The sampler chooses from the dense logits what follows each of the n, with the random numbers that the draft was chosen
 *      with. The first choice that is not the draft's takes its place, and the cache is rewound to before it: what
 *      followed is dropped. If there is none, the choice after the last token is one more token.
 *
 * So each token is chosen from dense logits, over a dense cache, by the random number of its place: the text is that of the
 * dense model, bit for bit, greedy or sampled, whatever the mask and n. A mask costs or saves time. With n = 1 there is no draft,
 * and decoding is dense.
 *
 * Source: Sirius (arXiv 2409.03856) corrects a sparse model so, by a dense pass over every n tokens ("kernel size") and by
 * rewinding. Its released code has a threshold (`thr`), by which it may keep another token than the dense choice. Here only the
 * dense choice is kept, as in speculative decoding by a model itself (arXiv 2309.08168): a law then states what the text is.
 */
import { isDensePrompt, type MaskPlanner } from '../masks/planner.ts'
import type { UnitMask } from '../masks/mask.ts'
import { describeValue } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import { expectOption, wholeOption, type OptionRecord } from '../tensor/option.ts'
import { expectFinite } from './finite_logits.ts'
import type { Sampler } from './sampling.ts'
import type { Sequence } from './sequence.ts'

/** Counts of the dense checks of a text. */
export interface CheckCounts {
  /** Dense passes. */
  readonly checks: number
  /** Tokens that ran under the mask and were rewound. */
  readonly rewound: number
  /** Drafted tokens in whose place the dense choice was put. */
  readonly replaced: number
  /** Drafted tokens after a replaced one. */
  readonly dropped: number
}

/** A token of the text. */
export interface ChosenToken {
  readonly token: number
  /** The logits it was chosen from: [V]. */
  readonly logits: Float32Array
}

/** How tokens are chosen. */
export interface NextTokens {
  readonly sampler: Sampler
  /** For samplers that go by what is written; default empty. */
  readonly prompt?: Iterable<number>
  /** How many are wanted at most. */
  readonly maxTokens: number
  /** Ids that end the text: nothing is drafted after one. */
  readonly stops: ReadonlySet<number>
  /** Tokens from one dense check to the next; without it, or without a planner, none. */
  readonly check?: number
  readonly planner?: MaskPlanner | null
}

/** Tokens from one dense check to the next. */
export const checkOption: OptionRecord<number> = wholeOption('CHECK', 1)

/**
 * Refuses a check that cannot be made as the rule has it.
 * @throws UsageError CHECK for no whole number from 1, PREFILL for a prompt that runs masked, EVERY for a planner that decides
 *   again now and then, whose earlier masks are gone
 */
export function expectCheckable(
  check: number | undefined,
  planner: MaskPlanner | null,
  mask: UnitMask | null = null,
): void {
  if (check === undefined) return
  expectOption('check', check, checkOption)
  if (mask || (planner && !isDensePrompt(planner)))
    throw new UsageError(
      'PREFILL',
      'check: expected a dense prefill, because what is checked follows a dense prompt, got a masked one',
      { option: 'check' },
    )
  if (planner && ((planner.every ?? 1) > 1 || planner.shift !== undefined))
    throw new UsageError(
      'EVERY',
      `check: expected a planner that decides once or at every token, because checks rewind, got ${planner.name}, which decides now and then; leave every out, or set it to 1`,
      { option: 'check' },
    )
}

/** Chooses the tokens after a prompt. */
export class TokenChooser {
  readonly #sequence: Sequence
  readonly #options: NextTokens
  readonly #text: number[]
  /** The length of the prompt. */
  readonly #prompt: number
  /** The most tokens that the text will have, its prompt among them. */
  readonly #longest: number
  readonly #counts = { checks: 0, rewound: 0, replaced: 0, dropped: 0 }

  /** @throws as `expectCheckable` */
  constructor(sequence: Sequence, options: NextTokens) {
    expectCheckable(options.check, options.planner ?? null)
    this.#sequence = sequence
    this.#options = options
    this.#text = [...(options.prompt ?? [])]
    this.#prompt = this.#text.length
    this.#longest = this.#prompt + options.maxTokens
  }

  /** The prompt and what was chosen so far; the last token has not run yet. */
  get text(): readonly number[] {
    return this.#text
  }

  /** Of checks so far; null if there are to be none. */
  get counts(): CheckCounts | null {
    return this.#checks ? { ...this.#counts } : null
  }

  get #checks(): boolean {
    return this.#options.check !== undefined && Boolean(this.#options.planner)
  }

  /**
   * The tokens, for as long as the caller asks, each run when the next is asked for. Null is a pass that settled no token.
   * @param logits of the last token of the prompt: [V]
   * @throws InputError LOGITS_NOT_FINITE; UsageError SAMPLER for a sampler that returns no id
   */
  *tokens(logits: Float32Array): Generator<ChosenToken | null, void, void> {
    const { check } = this.#options
    yield { token: this.#settle(logits), logits }
    if (check !== undefined && this.#checks) yield* this.#checked(check)
    else yield* this.#unchecked()
  }

  *#unchecked(): Generator<ChosenToken, void, void> {
    for (;;) {
      const logits = this.#sequence.feed(Int32Array.from(this.#text.slice(-1)), 'last')
      yield { token: this.#settle(logits), logits }
    }
  }

  /** Chooses the next token of the text. */
  #settle(logits: Float32Array): number {
    const token = this.#choose(this.#options.sampler, logits, this.#text)
    expectFinite(logits[token])
    this.#text.push(token)
    return token
  }

  /** Asks a sampler, which may be anyone's. @throws UsageError SAMPLER if it returns no id */
  #choose(sampler: Sampler, logits: Float32Array, text: readonly number[]): number {
    const token = sampler(logits, text, this.#prompt)
    if (Number.isInteger(token) && token >= 0 && token < logits.length) return token
    throw new UsageError(
      'SAMPLER',
      `sampler: expected to return an id from 0 to ${logits.length - 1}, got ${describeValue(token)}`,
      { option: 'sampler' },
    )
  }

  *#checked(check: number): Generator<ChosenToken | null, void, void> {
    const counts = this.#counts
    const sequence = this.#sequence
    for (;;) {
      const start = sequence.length
      const block = yield* this.#draft(Math.min(check, this.#longest - this.#text.length))
      counts.checks++
      counts.rewound += sequence.length - start
      sequence.rewind(start)
      const rows = sequence.feedDense(Int32Array.from(block), 'all')
      const V = rows.length / block.length
      for (let i = 0; i < block.length; i++) {
        const logits = rows.slice(i * V, (i + 1) * V)
        const token = this.#settle(logits)
        // Nothing was drafted after the last.
        const isKept = token === block[i + 1]
        if (!isKept) {
          const left = block.length - (i + 1)
          counts.replaced += Math.min(1, left)
          counts.dropped += Math.max(0, left - 1)
          sequence.rewind(start + i + 1)
        }
        yield { token, logits }
        if (!isKept) break
      }
    }
  }

  /** The last settled token and what the mask makes follow it, up to `most` tokens together. */
  *#draft(most: number): Generator<null, number[], void> {
    const { sampler, stops } = this.#options
    const guess = sampler.fork?.() ?? sampler
    const text = [...this.#text]
    const start = text.length - 1
    while (text.length - start < most) {
      const logits = this.#sequence.feed(Int32Array.of(text[text.length - 1]), 'last')
      const token = this.#choose(guess, logits, text)
      yield null
      if (stops.has(token)) break
      text.push(token)
    }
    return text.slice(start)
  }
}
