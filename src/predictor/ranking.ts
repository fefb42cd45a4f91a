/**
 * Planners that rank all units of a model at once: they compute scores, and the best units are kept within a budget.
 *
 * The scores and the budget of such a planner are accessible, so that the scores can be shown, stored, and used with
 * another budget.
 */
import type { Budget } from '../masks/budget.ts'
import type { UnitMask } from '../masks/mask.ts'
import type { MaskPlanner, PromptEnd, PromptView } from '../masks/planner.ts'
import { selectMask, type TopK, type UnitScores } from '../masks/selection.ts'
import { isObject } from '../tensor/arguments.ts'

/** The scores and the budget of a ranking planner. */
export interface Ranking {
  /**
   * The importance of each unit: [L, H] and [L, F]. A random planner draws new scores on each call.
   * @param view what the planner is shown when it is asked: a `PromptEnd` where it has `afterPrompt`
   */
  scores(view: PromptView | PromptEnd): UnitScores
  /** The criterion of the scores, or the one they predict; null if there is none. */
  readonly criterion: string | null
  /** The budget, with the dense layers of the planner. */
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

/** The ranking of a planner; null for a planner that does not rank. */
export function rankingOf(planner: MaskPlanner | null): Ranking | null {
  return isObject(planner) && 'ranking' in planner ? (planner as RankingPlanner).ranking : null
}
