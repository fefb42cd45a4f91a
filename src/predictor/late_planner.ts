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
import type { UnitMask, UnitShape } from '../masks/mask.ts'
import type { MaskPlanner, Prefill, PromptEnd } from '../masks/planner.ts'
import { selectMask, type TopK, type UnitScores } from '../masks/selection.ts'
import type { Ranking } from './ranking.ts'

/** The names of those that rank neurons only. */
export const neuronPlanners = ['griffin', 'coreinfer', 'glass'] as const
export type NeuronPlannerName = (typeof neuronPlanners)[number]

/** The names of all of them. */
export const latePlanners = [...neuronPlanners, 'griffin-static'] as const
export type LatePlannerName = (typeof latePlanners)[number]

/** The names of those that mask input channels, and no unit. */
export const channelPlanners = ['teal', 'wina'] as const
export type ChannelPlannerName = (typeof channelPlanners)[number]

/** Whether a planner masks input channels. */
export function masksChannels(planner: string): planner is ChannelPlannerName {
  return channelPlanners.some((name) => name === planner)
}

/** Whether a planner decides at every token after the prompt, by what that token itself computes. */
export function decidesByToken(planner: string): planner is 'cats' | ChannelPlannerName {
  return planner === 'cats' || masksChannels(planner)
}

/** Whether a planner decides about neurons or input channels only; all heads are computed. */
export function keepsHeads(planner: string): boolean {
  return ranksNeurons(planner) || decidesByToken(planner)
}

/** Whether a planner ranks neurons only. */
export function ranksNeurons(planner: string): planner is NeuronPlannerName {
  return neuronPlanners.some((name) => name === planner)
}

/** Whether a planner decides when the prompt has run. */
export function decidesLate(planner: string): planner is LatePlannerName {
  return latePlanners.some((name) => name === planner)
}

/** How the prompt runs by default: dense where nothing is skipped or the decision comes after it, else under the mask. */
export function defaultPrefill(planner: string): Prefill {
  return planner === 'dense' || decidesByToken(planner) || decidesLate(planner) ? 'dense' : 'masked'
}

/** The budget as a planner spends it that ranks neurons only. */
export function neuronBudget(budget: Budget): Budget {
  return { ...budget, headSparsity: 0, scope: 'per-layer' }
}

/** A planner whose mask is `selectMask(ranking.scores(view), ranking.budget)`, where the view is that of the prompt's end. */
export interface LatePlanner extends MaskPlanner {
  readonly ranking: Ranking
  summarize(activations: Float32Array, tokens: number): Float32Array
  afterPrompt(view: PromptEnd): UnitMask
}

/** How units are ranked. */
export interface LateRanking<Scores> extends Pick<LatePlanner, 'summarize'> {
  /** @param summaries what `summarize` returned of each layer: [L, F] */
  readonly scores: (summaries: Float32Array) => Scores
}

/** Makes one. @throws UsageError (when asked) as `selectMask` */
export function latePlanner(
  name: LatePlannerName,
  { summarize, scores }: LateRanking<UnitScores>,
  budget: Budget,
  topK: TopK,
): LatePlanner {
  const ranking: Ranking = {
    scores: ({ summaries }: PromptEnd) => scores(summaries),
    criterion: null,
    budget,
  }
  return {
    name,
    ranking,
    summarize,
    afterPrompt: (view) => selectMask(ranking.scores(view), budget, topK),
  }
}

/** Makes one that ranks neurons, [L, F], and keeps all heads, whatever the budget says of these. @throws as `latePlanner` */
export function neuronPlanner(
  name: NeuronPlannerName,
  shape: UnitShape,
  { scores, ...ranking }: LateRanking<Float32Array>,
  budget: Budget,
  topK: TopK,
): LatePlanner {
  const heads = new Float32Array(shape.layers * shape.heads)
  const all = (summaries: Float32Array): UnitScores => ({ shape, heads, neurons: scores(summaries) })
  return latePlanner(name, { ...ranking, scores: all }, neuronBudget(budget), topK)
}
