/**
 * What reports are compared with: log-probabilities of logits fed token by token, means, ratios and their errors by plain
 * sums in float64, and how many digits must agree.
 */
import { expect } from 'vitest'
import type { UnitMask } from '../../src/masks/mask.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'

/** Log-probabilities of all tokens, from logits. */
function logProbabilities(logits: ArrayLike<number>): number[] {
  const row = Array.from(logits)
  const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0))
  return row.map((value) => value - total)
}

/**
 * Feeds the prompt, and then the other tokens one by one.
 * @returns by position from the end of the prompt on, the log-probabilities there; and the mask they were computed under
 */
export function readByHand(
  model: LanguageModel,
  { tokens, promptLength }: { readonly tokens: Int32Array; readonly promptLength: number },
  planner: MaskPlanner | null,
): { rows: Map<number, number[]>; mask: UnitMask | null } {
  const sequence = model.begin({ planner, cache: 'f32' })
  const rows = new Map<number, number[]>()
  let logits = sequence.feed(tokens.slice(0, promptLength), 'last')
  for (let t = promptLength; t < tokens.length; t++) {
    rows.set(t, logProbabilities(logits))
    if (t < tokens.length - 1) logits = sequence.feed(tokens.slice(t, t + 1), 'last')
  }
  const { mask } = sequence
  sequence.dispose()
  return { rows, mask }
}

/** The log-likelihood of what follows the prompt, and the mask it was computed under. */
export function likelihoodByHand(
  model: LanguageModel,
  text: { readonly tokens: Int32Array; readonly promptLength: number },
  planner: MaskPlanner | null,
): { nats: number; mask: UnitMask | null } {
  const { rows, mask } = readByHand(model, text, planner)
  const nats = [...rows].reduce((sum, [t, row]) => sum + row[text.tokens[t]], 0)
  return { nats, mask }
}

/** The mean of some numbers; NaN of none. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** A sum over a sum, and its standard error as a ratio estimator, with n - 1 degrees of freedom. Empty places are no units. */
export function ratioByHand(
  above: readonly number[],
  below: readonly number[],
): { value: number; error: number } {
  const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)
  const value = total(above) / total(below)
  const squares = above.map((one, i) => (one - value * below[i]) ** 2)
  const n = above.filter(() => true).length
  return { value, error: n < 2 ? NaN : Math.sqrt((n / (n - 1)) * total(squares)) / total(below) }
}

/** Nine digits of a number. */
export function near(value: number): unknown {
  return expect.closeTo(value, 9 - Math.ceil(Math.log10(Math.abs(value) + 1)))
}

/** Nine digits of each number. */
export function nearAll(expected: Readonly<Record<string, number>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(expected).map(([key, value]) => [key, near(value)]))
}
