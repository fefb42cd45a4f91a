/**
 * static: the mean scores of a calibration set, the same mask for every sequence.
 */
import type { Budget } from '../masks/budget.ts'
import { referenceTopK, selectMask, type TopK, type UnitScores } from '../masks/selection.ts'
import { rankingPlanner, type RankingPlanner } from './ranking.ts'
import { meanOf, type PlannerRecord } from './record.ts'

/**
 * Keeps the units with the highest scores, the same for every prompt: static pruning. It needs no predictor and reads no prompt.
 * @param scores such as the mean scores of a calibration: `Calibration.aggregate`
 * @throws UsageError as `selectMask`
 */
export function staticPlanner(
  scores: UnitScores,
  budget: Budget,
  topK: TopK = referenceTopK,
): RankingPlanner {
  const mask = selectMask(scores, budget, topK)
  const planner = rankingPlanner('static', { scores: () => scores, criterion: null, budget }, topK)
  return { ...planner, choose: () => mask }
}

export const staticRecord: PlannerRecord<'static'> = {
  name: 'static',
  help: 'keeps the units with the highest mean score of a calibration, whatever the prompt: --calibration',
  skips: 'units',
  by: 'attention',
  needs: ['calibration'],
  make: (sources, budget) => staticPlanner(meanOf('static', sources), budget, sources.topK),
}
