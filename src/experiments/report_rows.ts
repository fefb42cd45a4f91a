/**
 * From scored windows to a row of a report: perplexity both ways, and what was really skipped.
 *
 * Sums run over all windows before the exponential is taken, so every scored token counts the same.
 */
import type { AchievedSparsity } from '../masks/achieved.ts'
import { meanAchieved } from '../evaluation/achieved_mean.ts'
import { criterionName } from '../evaluation/methods.ts'
import type { LayerSparsity } from '../results/experiment_result.ts'
import type { MeasuredArm } from '../evaluation/cache/measure.ts'
import type { ScoredWindow } from '../evaluation/cache/window_evaluator.ts'
import type { ReproduceRow } from '../results/report.ts'

/** The row of an arm. @param speed decoded tokens per second; null where it was not measured */
export function rowOf({ arm, scores }: MeasuredArm, seed: number, speed: number | null): ReproduceRow {
  const { planner, scope, sparsity } = arm
  const { heads, neurons, weights } = skippedBy(scores)
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

type Scored = Pick<ScoredWindow, 'nll' | 'tokens' | 'words'>

/** exp(nll per token or per word); NaN for no windows. */
export function perplexityOf(scores: readonly Scored[], per: 'tokens' | 'words' = 'tokens'): number {
  const sum = (value: (score: Scored) => number): number =>
    scores.reduce((total, score) => total + value(score), 0)
  return Math.exp(sum(({ nll }) => nll) / sum((score) => score[per]))
}

/** What windows skipped layer by layer, under a name: the mean over them; there must be at least one. */
export function layersOf(name: string, scores: readonly ScoredWindow[]): LayerSparsity {
  const { layers } = skippedBy(scores)
  return { name, heads: layers.map(({ heads }) => heads), neurons: layers.map(({ neurons }) => neurons) }
}

/** What windows skipped, the mean over them; there must be at least one. */
export function skippedBy(scores: readonly ScoredWindow[]): AchievedSparsity {
  return meanAchieved(scores.map(({ achieved }) => achieved))
}
