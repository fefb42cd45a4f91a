/**
 * shadow: scores predicted from the head outputs of the prompt in one early layer (ShadowLLM, arXiv 2406.16635).
 */
import type { Budget } from '../masks/budget.ts'
import type { PromptView } from '../masks/planner.ts'
import { referenceTopK, type TopK, type UnitScores } from '../masks/selection.ts'
import type { PromptPredictor } from './predictors.ts'
import { rankingPlanner, type RankingPlanner } from './ranking.ts'
import { given, type PlannerRecord } from './record.ts'

/**
 * A mask from predicted scores: the planner of the paper. The layers up to the predictor's source layer run before it
 * decides, so they are dense for every budget.
 * @param ranksRead whether a predictor may rank layers that it reads: it decides once, after a prompt that runs dense
 */
export function shadowPlanner(
  predictor: PromptPredictor,
  budget: Budget,
  topK: TopK = referenceTopK,
  ranksRead = false,
): RankingPlanner {
  const { sourceLayer = 0, ranksFrom = sourceLayer + 1, criterion = null } = predictor.config ?? {}
  const first = ranksRead ? ranksFrom : Math.max(ranksFrom, sourceLayer + 1)
  const behind = { ...budget, denseLayers: Math.max(budget.denseLayers, first) }
  const scores = ({ context, tokens }: PromptView): UnitScores => predictor.predict(context, tokens)
  return rankingPlanner('shadow', { scores, criterion, budget: behind }, topK, { sourceLayer })
}

export const shadowRecord: PlannerRecord<'shadow'> = {
  name: 'shadow',
  help: `keeps the units that the predictor expects to matter most: --predictor, else predictor.safetensors in the model's folder (the embedded model has one), NAME.predictor.safetensors beside NAME.gguf, else that of this package for SmolLM2-135M`,
  skips: 'units',
  by: 'attention',
  needs: ['predictor'],
  make: ({ shadow, topK }, budget, ranksRead) =>
    shadowPlanner(given('shadow', shadow, 'a ShadowLLM predictor'), budget, topK, ranksRead),
}
