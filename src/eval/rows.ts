/**
 * From scored windows to a row of a report: perplexity both ways, and what was really skipped.
 *
 * Sums run over all windows before the exponential is taken, so every scored token counts the same.
 */
import type { Sparsity } from '../masks/achieved.ts'
import { criterionName } from './arms.ts'
import type { MeasuredArm, ScoredWindow } from './lab/measure.ts'
import type { ReproduceRow } from './report.ts'

/** The row of an arm. @param speed decoded tokens per second; null where it was not measured */
export function rowOf({ arm, scores }: MeasuredArm, seed: number, speed: number | null): ReproduceRow {
  const { planner, scope, sparsity } = arm
  const { heads, neurons, weights } = achievedMean(scores)
  return {
    planner,
    criterion: criterionName(arm),
    scope,
    sparsity,
    seed,
    achieved: { heads, neurons, weights },
    tokenPerplexity: perplexityOf(scores, 'tokens'),
    wordPerplexity: perplexityOf(scores, 'words'),
    decodeTokensPerSecond: speed,
  }
}

/** exp(nll per token or per word); NaN for no windows. */
export function perplexityOf(scores: readonly ScoredWindow[], per: 'tokens' | 'words' = 'tokens'): number {
  const sum = (value: (score: ScoredWindow) => number): number =>
    scores.reduce((total, score) => total + value(score), 0)
  return Math.exp(sum(({ nll }) => nll) / sum((score) => score[per]))
}

/** Shares skipped, averaged over windows. */
export interface MeanAchieved extends Sparsity {
  readonly byLayer: { readonly heads: readonly number[]; readonly neurons: readonly number[] }
}

/** What was skipped of the whole model, and layer by layer, averaged over windows; there must be at least one. */
export function achievedMean(scores: readonly ScoredWindow[]): MeanAchieved {
  const mean = (value: (score: ScoredWindow) => number): number =>
    scores.reduce((total, score) => total + value(score), 0) / scores.length
  const layers = scores[0].achieved.layers.map((_, layer) => layer)
  return {
    heads: mean(({ achieved }) => achieved.heads),
    neurons: mean(({ achieved }) => achieved.neurons),
    weights: mean(({ achieved }) => achieved.weights),
    byLayer: {
      heads: layers.map((layer) => mean(({ achieved }) => achieved.layers[layer].heads)),
      neurons: layers.map((layer) => mean(({ achieved }) => achieved.layers[layer].neurons)),
    },
  }
}
