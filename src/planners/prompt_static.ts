/**
 * prompt-static: what matters to the prompt and what matters in general, by their geometric mean.
 *
 *   s[u] = sqrt( p[u] m[u] )
 *
 * p is the score of unit u for the loss of the prompt itself, as prompt-plainact ranks by it; m is its mean score over a
 * calibration, as static does. Both are of one criterion. A geometric mean ranks the same whatever the scale of either. A
 * unit that one of them finds useless is useless. It costs a forward and a backward pass over the prompt. No paper has this
 * planner; it is of this project.
 *
 * The criterion must have no sign: of a negative product there is no root, and NaN ranks below every number.
 */
import type { Budget } from '../masks/budget.ts'
import type { PromptView } from '../masks/planner.ts'
import { referenceTopK, type UnitScores } from '../masks/selection.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { promptPlanner, type PromptPlannerOptions } from './prompt_plainact.ts'
import { rankingPlanner, type RankingPlanner } from './ranking.ts'
import { meanOf, type PlannerRecord } from './record.ts'

/** The geometric mean of two scores of every unit, computed in float64. */
export function geometricMean(a: UnitScores, b: UnitScores): UnitScores {
  const mean = (x: Float32Array, y: Float32Array): Float32Array =>
    x.map((score, place) => Math.sqrt(score * y[place]))
  return { shape: a.shape, heads: mean(a.heads, b.heads), neurons: mean(a.neurons, b.neurons) }
}

/**
 * Keeps the units with the highest geometric mean of two scores: that of the prompt, as in `promptPlanner`, and the mean over a
 * calibration. The prompt must have at least two tokens.
 * @param mean the mean scores of a calibration by the same criterion
 */
export function promptStaticPlanner(
  model: LanguageModel,
  mean: UnitScores,
  budget: Budget,
  options: PromptPlannerOptions = {},
): RankingPlanner {
  const { ranking } = promptPlanner(model, budget, options)
  const scores = (view: PromptView): UnitScores => geometricMean(ranking.scores(view), mean)
  return rankingPlanner('prompt-static', { ...ranking, scores }, options.topK ?? referenceTopK)
}

export const promptStaticRecord: PlannerRecord<'prompt-static'> = {
  name: 'prompt-static',
  help: 'keeps units as prompt-plainact does, its scores merged with the mean scores of a calibration: --calibration',
  skips: 'units',
  by: 'attention',
  needs: ['calibration', 'prompt-loss'],
  make: (sources, budget) => {
    const { model, criterion, seed, topK } = sources
    return promptStaticPlanner(model, meanOf('prompt-static', sources), budget, { criterion, seed, topK })
  },
}
