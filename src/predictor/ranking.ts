/**
 * Planners that rank all units of a model at once: they give scores, and the best are kept within a budget.
 *
 * What such a planner decides by can be asked for beside what it decides, so that its scores can be shown, kept, and
 * selected from again under another budget without asking it.
 */
import type { Budget } from '../masks/budget.ts'
import type { UnitMask } from '../masks/mask.ts'
import type { MaskPlanner, PromptView } from '../masks/planner.ts'
import { selectMask, type TopK, type UnitScores } from '../masks/selection.ts'
import { isObject } from '../tensor/arguments.ts'

/** What a ranking planner decides by. */
export interface Ranking {
  /** How important each unit is: [L, H] and [L, F]. One that draws at random draws anew with each call. */
  scores(view: PromptView): UnitScores
  /** The criterion that the scores are of, or predict; null where they are of none that is known. */
  readonly criterion: string | null
  /** How much is kept, dense layers of the planner included. */
  readonly budget: Budget
}

/** A planner whose mask is `selectMask(ranking.scores(view), ranking.budget)`. */
export interface RankingPlanner extends MaskPlanner {
  readonly ranking: Ranking
  afterAttention(view: PromptView): UnitMask
}

/** Makes one. @throws UsageError (when asked) as `selectMask` */
export function rankingPlanner(
  name: string,
  ranking: Ranking,
  topK: TopK,
  options: Pick<MaskPlanner, 'placement'> = {},
): RankingPlanner {
  return {
    name,
    ...options,
    ranking,
    afterAttention: (view) => selectMask(ranking.scores(view), ranking.budget, topK),
  }
}

/** What a planner decides by; null for one that does not rank. */
export function rankingOf(planner: MaskPlanner | null): Ranking | null {
  return isObject(planner) && 'ranking' in planner ? (planner as RankingPlanner).ranking : null
}
