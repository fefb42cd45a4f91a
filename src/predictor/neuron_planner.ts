/**
 * Planners that rank neurons when the prompt has run, by what the prompt used of them: GRIFFIN and its like.
 *
 * The prompt runs dense; the mask holds from the first token after it. There is no second decision, because a neuron that was
 * skipped since the first has no activations to be judged by. Their scores say nothing of heads, so all heads are kept.
 * Neurons compete within their layer in every scope, because their scores are relative to those of their layer.
 */
import type { Budget } from '../masks/budget.ts'
import type { UnitMask, UnitShape } from '../masks/mask.ts'
import type { MaskPlanner, PromptEnd } from '../masks/planner.ts'
import { selectMask, type TopK } from '../masks/selection.ts'
import type { Ranking } from './ranking.ts'

/** The names of these planners. */
export const neuronPlanners = ['griffin'] as const
export type NeuronPlannerName = (typeof neuronPlanners)[number]

/** Whether a planner is one of them. */
export function ranksNeurons(planner: string): planner is NeuronPlannerName {
  return neuronPlanners.some((name) => name === planner)
}

/** The budget as such a planner spends it. */
export function neuronBudget(budget: Budget): Budget {
  return { ...budget, headSparsity: 0, scope: 'per-layer' }
}

/** A planner whose mask is `selectMask(ranking.scores(view), ranking.budget)`, where the view is that of the prompt's end. */
export interface NeuronPlanner extends MaskPlanner {
  readonly ranking: Ranking
  summarize(activations: Float32Array, tokens: number): Float32Array
  afterPrompt(view: PromptEnd): UnitMask
}

/** How neurons are ranked. */
export interface NeuronRanking extends Pick<NeuronPlanner, 'summarize'> {
  /** The importance of each neuron: [L, F]. @param summaries what `summarize` returned of each layer: [L, F] */
  readonly scores: (summaries: Float32Array) => Float32Array
}

/** Makes one; it keeps all heads whatever the budget says. @throws UsageError (when asked) as `selectMask` */
export function neuronPlanner(
  name: NeuronPlannerName,
  shape: UnitShape,
  { summarize, scores }: NeuronRanking,
  budget: Budget,
  topK: TopK,
): NeuronPlanner {
  const ranking: Ranking = {
    scores: ({ summaries }: PromptEnd) => {
      return { shape, heads: new Float32Array(shape.layers * shape.heads), neurons: scores(summaries) }
    },
    criterion: null,
    budget: neuronBudget(budget),
  }
  return {
    name,
    ranking,
    summarize,
    afterPrompt: (view) => selectMask(ranking.scores(view), ranking.budget, topK),
  }
}
