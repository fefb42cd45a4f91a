/**
 * oracle: the criterion's scores of the text that is then scored, which needs its answer: the upper bound of every predictor.
 */
import type { Budget } from '../masks/budget.ts'
import { referenceTopK, type TopK, type UnitScores } from '../masks/selection.ts'
import { rankingPlanner, type RankingPlanner } from './ranking.ts'
import { given, type PlannerRecord } from './record.ts'

/** A mask from the oracle scores of the sequence; a planner for one sequence. */
export function oraclePlanner(
  scores: UnitScores,
  budget: Budget,
  topK: TopK = referenceTopK,
): RankingPlanner {
  return rankingPlanner('oracle', { scores: () => scores, criterion: null, budget }, topK)
}

export const oracleRecord: PlannerRecord<'oracle'> = {
  name: 'oracle',
  help: 'keeps the units that matter most to the continuation, which must be known',
  skips: 'units',
  by: 'attention',
  needs: ['continuation'],
  make: ({ oracleScores, topK }, budget) =>
    oraclePlanner(given('oracle', oracleScores, 'the oracle scores of the text'), budget, topK),
}
