/**
 * Planners that decide when the prompt has run, by what it used of the neurons: GRIFFIN and its like.
 *
 * The prompt runs dense; the mask holds from the first token after it. There is no second decision, because a neuron that was
 * skipped since the first has no activations to be judged by.
 *
 * Most of them rank neurons only. Their scores say nothing of heads, so all heads are kept; and their scores are relative to
 * those of their layer, so neurons compete within their layer in every scope.
 */
import type { Budget } from '../masks/budget.ts'
import type { UnitShape } from '../masks/mask.ts'
import { selectMask, type TopK, type UnitScores } from '../masks/selection.ts'
import type { LatePlanner } from './ranking.ts'

/** The budget as a planner spends it that ranks neurons only. */
export function neuronBudget(budget: Budget): Budget {
  return { ...budget, headSparsity: 0, scope: 'per-layer' }
}

/** How units are ranked. */
export interface LateRanking<Scores> extends Pick<LatePlanner, 'summarize' | 'sumsUp'> {
  /** @param summaries what `summarize` returned of each layer: [L, F] */
  readonly scores: (summaries: Float32Array) => Scores
}

/** A planner that ranks all units after the prompt. @throws UsageError (when asked) as `selectMask` */
export function latePlanner(
  name: string,
  { scores, ...summing }: LateRanking<UnitScores>,
  budget: Budget,
  topK: TopK,
): LatePlanner {
  return {
    name,
    by: 'prompt',
    ranking: { scores: ({ summaries }) => scores(summaries), criterion: null, budget },
    ...summing,
    choose: ({ summaries }) => selectMask(scores(summaries), budget, topK),
  }
}

/** A planner that ranks neurons, [L, F], and keeps all heads, also under a budget for heads. @throws as `latePlanner` */
export function neuronPlanner(
  name: string,
  shape: UnitShape,
  { scores, ...ranking }: LateRanking<Float32Array>,
  budget: Budget,
  topK: TopK,
): LatePlanner {
  const heads = new Float32Array(shape.layers * shape.heads)
  const all = (summaries: Float32Array): UnitScores => ({ shape, heads, neurons: scores(summaries) })
  return latePlanner(name, { ...ranking, scores: all }, neuronBudget(budget), topK)
}
