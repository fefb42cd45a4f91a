/**
 * Scores of a text, added up unit by unit (a window of the stream, or a page).
 */
import type { AchievedSparsity } from '../masks/achieved.ts'
import { meanAchieved } from './achieved_mean.ts'
import { ratioOf, type Ratio } from '../results/ratio.ts'
import type { SpanScore } from './scored_logits.ts'

interface Unit {
  nll: number
  tokens: number
  kl: number
}

/** A perplexity and its standard error; null where one unit tells nothing about chance. */
export interface Measured {
  readonly value: number
  readonly error: number | null
}

/** What one row has scored. */
export class Tally {
  readonly #units = new Map<number, Unit>()
  readonly #achieved: AchievedSparsity[] = []
  #agreed = 0
  #firstDifference: number | null = null
  tokens = 0

  /** Counts a window. @param unit which page or window it belongs to @param achieved what its mask skipped */
  add(unit: number, score: SpanScore, achieved: AchievedSparsity): void {
    const sum = this.#units.get(unit) ?? { nll: 0, tokens: 0, kl: 0 }
    this.#units.set(unit, sum)
    sum.nll += score.nll
    sum.tokens += score.tokens
    sum.kl += score.kl
    if (score.firstDifference !== null) this.#firstDifference ??= this.tokens + score.firstDifference
    this.tokens += score.tokens
    this.#agreed += score.agreed
    this.#achieved.push(achieved)
  }

  /** Shares skipped of the whole model and of each layer, averaged over windows; something must have been counted. */
  get achieved(): AchievedSparsity {
    return meanAchieved(this.#achieved)
  }

  /** The share of scored tokens at which the likeliest token is the dense one. */
  get agreement(): number {
    return this.#agreed / this.tokens
  }

  /** Which scored token is the first where it is not, counted through the text; null if none is. */
  get firstDifference(): number | null {
    return this.#firstDifference
  }

  /** KL(dense || this) in nats per token. */
  get kl(): Measured {
    const units = [...this.#units.values()]
    return measured(
      ratioOf(
        units.map(({ kl }) => kl),
        units.map(({ tokens }) => tokens),
      ),
    )
  }

  /**
   * Nats per thing counted.
   * @param perToken how many of these a unit has per token of it; 1 unless told
   */
  natsPer(perToken: (unit: number) => number = () => 1): Ratio {
    const units = [...this.#units]
    return ratioOf(
      units.map(([, { nll }]) => nll),
      units.map(([unit, { tokens }]) => tokens * perToken(unit)),
    )
  }
}

/** The perplexity of nats per word, token or byte; its error is the first-order one. */
export function perplexityOf({ value, error }: Ratio): Measured {
  return measured({ value: Math.exp(value), error: Math.exp(value) * error })
}

function measured({ value, error }: Ratio): Measured {
  return { value, error: Number.isNaN(error) ? null : error }
}
