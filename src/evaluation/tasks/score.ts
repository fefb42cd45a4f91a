/**
 * Which answer a model chooses, dense or under masks that the context decides.
 *
 * A mask is decided from the context alone, once, and every answer to that context is scored under it: a mask must not
 * depend on the answer. Answers inside of the context (WinoGrande) make contexts of
 * their own, each with its mask.
 */
import type { AchievedSparsity } from '../../masks/achieved.ts'
import { ratioOf } from '../../results/ratio.ts'
import type { ScoredText } from '../score_window.ts'
import { measured, skippedBy } from '../tally.ts'
import type { EvaluatedText, MethodScore } from '../window_evaluator.ts'
import type { AskedTokens, Request } from '../../data/tasks/prompts.ts'
import type { Metric } from '../../data/tasks/task.ts'

/** A question answered. */
export interface Answer {
  /** The log-likelihood of each answer, in nats. */
  readonly logLikelihoods: readonly number[]
  /** Which one each metric takes; the first of equals. */
  readonly chosen: Readonly<Partial<Record<Metric, number>>>
  readonly gold: number
  /** The skipped shares, averaged over answers. */
  readonly achieved: AchievedSparsity
}

/** The texts of a question: its answers; and, for `acc_mutual_info`, its answers after nothing, which dense alone scores. */
export function textsOf({ requests, alone, gold }: AskedTokens, seed: number): EvaluatedText[] {
  // Nothing counts words.
  const windowsOf = (all: readonly Request[]): ScoredText[] => all.map((one) => ({ ...one, words: 0 }))
  return [
    { windows: windowsOf(requests), known: gold, seed },
    ...(alone ? [{ windows: windowsOf(alone), seed, denseOnly: true }] : []),
  ]
}

/**
 * The answer to a question by the scores of its answers.
 * @param alone the dense scores of the answers after nothing, for `acc_mutual_info`
 */
export function answerOf(
  { lengths, gold }: AskedTokens,
  scores: readonly Pick<MethodScore, 'nll' | 'achieved'>[],
  alone: readonly Pick<MethodScore, 'nll'>[] | null,
): Answer {
  const logLikelihoods = scores.map(({ nll }) => -nll)
  return {
    logLikelihoods,
    chosen: {
      acc: highest(logLikelihoods),
      acc_norm: highest(logLikelihoods.map((value, i) => value / lengths[i])),
      ...(alone && { acc_mutual_info: highest(logLikelihoods.map((value, i) => value + alone[i].nll)) }),
    },
    gold,
    achieved: skippedBy(scores),
  }
}

/** The place of the highest, the first of equals. */
function highest(values: readonly number[]): number {
  return values.indexOf(Math.max(...values))
}

/** A share of questions, and its standard error. */
export interface Accuracy {
  readonly value: number
  /** Sample standard deviation over the square root of the count, as lm-evaluation-harness has it; null below two. */
  readonly error: number | null
}

/** How many were answered rightly, as a share. There must be at least one. */
export function accuracyOf(answers: readonly Answer[], metric: Metric): Accuracy {
  const n = answers.length
  const right = answers.filter(({ chosen, gold }) => chosen[metric] === gold).length
  const value = right / n
  const squares = right * (1 - value) ** 2 + (n - right) * value ** 2
  return { value, error: n < 2 ? null : Math.sqrt(squares / (n - 1) / n) }
}

/** By how much that share is more than in other answers to the same questions, question by question. */
export function accuracyOver(
  answers: readonly Answer[],
  others: readonly Answer[],
  metric: Metric,
): Accuracy {
  const isRight = ({ chosen, gold }: Answer): number => Number(chosen[metric] === gold)
  const more = answers.map((answer, i) => isRight(answer) - isRight(others[i]))
  return measured(ratioOf(more, new Array<number>(more.length).fill(1)))
}

/** The mean of the shares of several tasks, whose errors are independent; each task counts alike. */
export function meanAccuracy(tasks: readonly Accuracy[]): Accuracy {
  const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0)
  const errors = tasks.map(({ error }) => error)
  const isKnown = errors.every((error) => error !== null)
  return {
    value: sum(tasks.map(({ value }) => value)) / tasks.length,
    error: isKnown ? Math.sqrt(sum(errors.map((error) => error ** 2))) / tasks.length : null,
  }
}
