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
 * Keeps the units that a predictor expects to matter most, from the head outputs of the prompt in one early layer: the planner of
 * the paper (arXiv 2406.16635). The layers up to the predictor's source layer run before it
 * decides, so they are dense for every budget.
 * @param predictor such as `openPredictor` gives; where `generate` gets the name `shadow`, `ShadowModel.loadPredictor` gives it
 * @param ranksRead whether a predictor may rank layers that it reads: it decides once, after a prompt that runs dense
 * @specified `plan`
 * @example
 * ```ts
 * import { collectText, makeBudget, ShadowModel } from 'shadowllm'
 * import { openPredictor, shadowPlanner } from 'shadowllm/predictor'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const beside = opt.weightsFile.replace('model.safetensors', 'predictor.safetensors')
 * const predictor = await openPredictor(beside, opt.model.backend)
 * if (predictor.kind !== 'shadow') throw new Error(predictor.kind)
 * const planner = shadowPlanner(predictor, makeBudget(0.5))
 * const { text } = await collectText(opt.generate('Once upon a time', { planner, maxTokens: 12 }))
 * console.log(text)
 * await opt.dispose()
 * ```
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
