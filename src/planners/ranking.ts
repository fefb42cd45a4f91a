/**
 * Planners that rank all units of a model at once: they compute scores, and the best units are kept within a budget.
 *
 * Such a planner exposes its scores and its budget, so that the scores can be shown, stored, and used with another budget.
 */
import type { Budget } from '../masks/budget.ts'
import type { PlannerBy, PromptEnd, PromptView } from '../masks/planner.ts'
import { selectMask, type TopK, type UnitScores } from '../masks/selection.ts'
import { isObject } from '../tensor/arguments.ts'

/** The scores and the budget of a ranking planner. */
export interface Ranking<View = PromptView | PromptEnd> {
  /**
   * The importance of each unit: [L, H] and [L, F]. A random planner draws new scores on each call.
   * @param view what the planner sees of the model while the prompt runs
   */
  scores(view: View): UnitScores
  /** The criterion of the scores, or the one they predict; null if there is none. */
  readonly criterion: string | null
  /** The budget, with the dense layers of the planner. */
  readonly budget: Budget
}

/** A planner whose mask is `selectMask(ranking.scores(view), ranking.budget)`. */
export type RankingPlanner = PlannerBy<'attention'> & { readonly ranking: Ranking<PromptView> }
/** A ranking planner that decides after the prompt has run. */
export type LatePlanner = PlannerBy<'prompt'> & { readonly ranking: Ranking<PromptEnd> }

/** A planner that ranks all units when it is asked. @throws UsageError (when asked) as `selectMask` */
export function rankingPlanner(
  name: string,
  ranking: Ranking<PromptView>,
  topK: TopK,
  options: Pick<RankingPlanner, 'sourceLayer'> = {},
): RankingPlanner {
  const choose = (view: PromptView): ReturnType<typeof selectMask> =>
    selectMask(ranking.scores(view), ranking.budget, topK)
  return { name, by: 'attention', ...options, ranking, choose }
}

/**
 * The scores by which a planner ranks units, and its budget: to see why a unit is skipped, or to select by the same scores at another
 * budget (`selectMask`). Null for a planner that does not rank.
 * @param planner what `makePlanner` gave
 */
export function rankingOf(planner: object | null): Ranking | null {
  return isObject(planner) && 'ranking' in planner ? (planner.ranking as Ranking) : null
}
