/**
 * Scores added up: nats per token or word, perplexities, differences, what was skipped.
 *
 * Sums run over all windows before the exponential is taken, so every scored token counts the same. Perplexity is given
 * both ways: per token, exp(nll / tokens), which depends on the tokeniser; and per word, exp(nll / words), over the
 * whitespace-separated words that the scored tokens spell, which does not.
 */
import type { AchievedSparsity, Sparsity } from '../masks/achieved.ts'
import type { LayerSparsity } from '../results/experiment_result.ts'
import { pairedP } from '../results/paired_test.ts'
import { ratioOf, type Ratio } from '../results/ratio.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  expectOption,
  kinds,
  listOption,
  recordOption,
  required,
  type Kind,
  type Kinds,
} from '../tensor/option.ts'
import type { ComparedCost, Cost } from './score_window.ts'

/** The mean of skipped shares, of the whole model and of each layer. There must be at least one. */
export function meanAchieved(all: readonly AchievedSparsity[]): AchievedSparsity {
  return {
    ...meanOf(all),
    layers: all[0].layers.map((_, layer) => meanOf(all.map(({ layers }) => layers[layer]))),
  }
}

function meanOf(all: readonly Sparsity[]): Sparsity {
  const mean = (kind: keyof Sparsity): number =>
    all.reduce((sum, one) => sum + (one[kind] ?? 0), 0) / all.length
  return {
    heads: mean('heads'),
    neurons: mean('neurons'),
    weights: mean('weights'),
    ...(all.some(({ channels }) => channels !== undefined) && { channels: mean('channels') }),
  }
}

/** Nats per token of windows; NaN for no windows. */
export function natsPerToken(scores: readonly Cost[]): Ratio {
  return perToken(scores, ({ nll }) => nll)
}

/** Nats per word of windows; NaN for no windows. */
export function natsPerWord(scores: readonly (Cost & { readonly words: number })[]): Ratio {
  return natsPerToken(scores.map(({ words, ...score }) => ({ ...score, tokens: words })))
}

/** The shares that windows skipped, averaged over them. There must be at least one. */
export function skippedBy(scores: readonly { readonly achieved: AchievedSparsity }[]): AchievedSparsity {
  return meanAchieved(scores.map(({ achieved }) => achieved))
}

/** The shares that windows skipped in each layer, averaged over them, under a name. There must be at least one. */
export function layersOf(name: string, scores: Parameters<typeof skippedBy>[0]): LayerSparsity {
  const { layers } = skippedBy(scores)
  return { name, heads: layers.map(({ heads }) => heads), neurons: layers.map(({ neurons }) => neurons) }
}

/** A difference in nats per token, and its standard error. */
export interface Difference {
  readonly nats: number
  /** Standard error over documents, where these are known, else over windows; null for fewer than two. */
  readonly error: number | null
}

/**
 * How much more one method costs than another in nats per token, with the standard error, from scores of the same windows in the same
 * order (`scoreWindow`). What the windows have in common cancels, so small differences are visible; the error is that of a ratio of sums.
 * @param first scores of the method that is judged
 * @param second scores of the method that it is compared with, of the same windows
 * @throws UsageError SCORES for what is no list of scores, or lists of different lengths
 */
export function compareScores(first: readonly Cost[], second: readonly Cost[]): Difference {
  for (const [name, scores] of Object.entries({ first, second })) expectOption(name, scores, scoresOption)
  if (first.length !== second.length)
    throw new UsageError(
      'SCORES',
      `second: expected a score of each of the ${first.length} windows of first, got ${second.length}`,
    )
  const { value: nats, error } = measured(perToken(first, ({ nll }, i) => nll - second[i].nll))
  return { nats, error }
}

const costFields: Kinds<Pick<Cost, 'nll' | 'tokens'>> = {
  nll: required(kinds.number),
  tokens: required(kinds.number),
}
const scores = listOption('a list of what scoreWindow gives', recordOption('a score', costFields), 'SCORES')
/** Scores of one window or more. */
const scoresOption: Kind = { ...scores, holds: (value) => scores.holds(value) && (value as []).length > 0 }

/** KL(dense || this) of windows, in nats per token; NaN for no windows. */
export function klPerToken(scores: readonly ComparedCost[]): Ratio {
  return perToken(scores, ({ kl }) => kl)
}

/** The share of the scored tokens of windows at which the likeliest token is the dense one. */
export function agreementOf(scores: readonly ComparedCost[]): Ratio {
  return perToken(scores, ({ agreed }) => agreed)
}

/** A paired difference per token, and how often chance alone would make one as large. */
export interface TestedDifference extends Ratio {
  /** See `pairedP`; over documents, like the error. */
  readonly p: number
}

/** By how much the KL per token of `first` is more than that of `second` on the same windows, window by window. */
export function compareKl(first: readonly ComparedCost[], second: readonly ComparedCost[]): TestedDifference {
  const more = ({ kl }: ComparedCost, i: number): number => kl - second[i].kl
  return {
    ...perToken(first, more),
    p: pairedP(sumUnits(first, more).map(({ value }) => value)),
  }
}

function perToken<Score extends Cost>(
  scores: readonly Score[],
  valueOf: (score: Score, window: number) => number,
): Ratio {
  const units = sumUnits(scores, valueOf)
  return ratioOf(
    units.map(({ value }) => value),
    units.map(({ tokens }) => tokens),
  )
}

/** Sums over what is drawn independently: documents, and windows whose document is not known. */
function sumUnits<Score extends Cost>(
  scores: readonly Score[],
  valueOf: (score: Score, window: number) => number,
): { readonly value: number; readonly tokens: number }[] {
  const windows = scores.map((score, i) => ({ ...score, value: valueOf(score, i) }))
  const units = [...Map.groupBy(windows, ({ document }, i) => document ?? i).values()]
  return units.map((unit) => ({
    value: unit.reduce((sum, { value }) => sum + value, 0),
    tokens: unit.reduce((sum, { tokens }) => sum + tokens, 0),
  }))
}

// ---- By page, or by window of a stream -------------------------------------------------------------------------------

/** Tokens that were scored, and KL(dense || this) of them together, in nats. */
export type UnitCost = Pick<ComparedCost, 'tokens' | 'kl'>

/** A number and its standard error, which is null for a single unit. */
export interface Measured {
  readonly value: number
  readonly error: number | null
}

/** The sums of one row. */
export class Tally {
  readonly #units = new Map<number, Cost & UnitCost>()
  readonly #achieved: AchievedSparsity[] = []
  #agreed = 0
  #firstDifference: number | null = null
  #decisions = 0
  tokens = 0

  /** Counts a window. @param unit which page or window it belongs to @param achieved what its mask skipped */
  add(
    unit: number,
    score: Readonly<ComparedCost & { decisions?: number }>,
    achieved: AchievedSparsity,
  ): void {
    const { nll, tokens, kl } = this.#units.get(unit) ?? { nll: 0, tokens: 0, kl: 0 }
    this.#units.set(unit, { nll: nll + score.nll, tokens: tokens + score.tokens, kl: kl + score.kl })
    if (score.firstDifference !== null) this.#firstDifference ??= this.tokens + score.firstDifference
    this.tokens += score.tokens
    this.#agreed += score.agreed
    this.#decisions += score.decisions ?? 0
    this.#achieved.push(achieved)
  }

  /** Shares skipped of the whole model and of each layer, averaged over windows; something must have been counted. */
  get achieved(): AchievedSparsity {
    return meanAchieved(this.#achieved)
  }

  /** How many times a mask was decided, averaged over windows; something must have been counted. */
  get decisions(): number {
    return this.#decisions / this.#achieved.length
  }

  /** The share of scored tokens at which the likeliest token is the dense one. */
  get agreement(): number {
    return this.#agreed / this.tokens
  }

  /** Which scored token is the first where it is not, counted through the text; null if none is. */
  get firstDifference(): number | null {
    return this.#firstDifference
  }

  /** Tokens and KL of each page or window, in order: what rows of several reports are compared by. */
  get units(): UnitCost[] {
    return [...this.#units.values()].map(({ tokens, kl }) => ({ tokens, kl }))
  }

  /** KL(dense || this) in nats per token. */
  get kl(): Measured {
    return measured(perToken([...this.#units.values()], ({ kl }) => kl))
  }

  /** By how much `kl` is more than that of another row over the same windows, window by window. */
  klOver(other: Tally): Measured {
    const others = [...this.#units.keys()].map((unit) => other.#units.get(unit)?.kl ?? 0)
    return measured(perToken([...this.#units.values()], ({ kl }, i) => kl - others[i]))
  }

  /**
   * Nats per thing counted.
   * @param perToken how many of these a unit has per token of it; default 1
   */
  natsPer(perToken: (unit: number) => number = () => 1): Ratio {
    const units = Array.from(this.#units, ([unit, { nll, tokens }]) => ({
      nll,
      tokens: tokens * perToken(unit),
    }))
    return natsPerToken(units)
  }
}

/** The perplexity of nats per word, token or byte; its error is the first-order one. */
export function perplexityOf({ value, error }: Ratio): Measured {
  return measured({ value: Math.exp(value), error: Math.exp(value) * error })
}

/** A ratio whose error may be unknown. */
export function measured({ value, error }: Ratio): Measured {
  return { value, error: Number.isNaN(error) ? null : error }
}
