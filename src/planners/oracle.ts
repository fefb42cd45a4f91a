/**
 * oracle: the criterion's scores of the text that is then scored, which needs its answer: the upper bound of every predictor.
 */
import type { Budget } from '../masks/budget.ts'
import { referenceTopK, type TopK, type UnitScores } from '../masks/selection.ts'
import { rankingPlanner, type RankingPlanner } from './ranking.ts'
import { given, type PlannerRecord } from './record.ts'

/**
 * Keeps the units that matter most to a text whose continuation is known: the upper bound of every predictor. It serves one text.
 * @param scores of the prompt and what follows it, by a criterion: `scoreText` gives them
 * @example
 * ```ts
 * import { collectText, makeBudget, ShadowModel } from 'shadowllm'
 * import { oraclePlanner, scoreText } from 'shadowllm/predictor'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const ids = Int32Array.from(opt.encode('Once upon a time, there was a little girl', { prefix: true }))
 * const planner = oraclePlanner(scoreText(opt.model, ids, ids), makeBudget(0.5))
 * const { text } = await collectText(opt.generate('Once upon a time', { planner, maxTokens: 12 }))
 * console.log(text)
 * await opt.dispose()
 * ```
 */
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
