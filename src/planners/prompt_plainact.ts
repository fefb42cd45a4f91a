/**
 * prompt-plainact: keeps the units that matter most to the prompt's own loss, where every token predicts the next. It needs no
 * predictor, and costs a forward and a backward pass over the prompt. The buffers of these are freed before the mask is returned.
 */
import type { Criterion } from '../criteria/criterion.ts'
import { withPass } from '../criteria/pass.ts'
import { plainact } from '../criteria/plainact.ts'
import type { Budget } from '../masks/budget.ts'
import type { PromptView } from '../masks/planner.ts'
import { referenceTopK, type UnitScores } from '../masks/selection.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { UsageError } from '../tensor/errors.ts'
import { rankingPlanner, type RankingPlanner } from './ranking.ts'
import type { PlannerRecord, PlannerSources } from './record.ts'

/**
 * How much each unit matters to one text, by a criterion: the text runs dense, forward and backward. `selectMask` makes a mask of the
 * scores, `oraclePlanner` a planner; many texts are scored by `calibrateToFolder`.
 * @param labels [T], the tokens, or -100 where a position is not scored
 * @param tokens [T]
 * @param seed of the criterion's random numbers, if it draws any
 * @throws UsageError LABELS if nothing is scored, TOKENS, CONTEXT_LENGTH
 * @specified `plainact`
 */
export function scoreText(
  model: LanguageModel,
  tokens: Int32Array,
  labels: Int32Array,
  criterion: Criterion = plainact,
  seed = 0,
): UnitScores {
  return withPass(model, { tokens, labels }, criterion.score, { seed })
}

/** A criterion's scores of the tokens that follow a prompt, dense. @throws UsageError as `scoreText` */
export function scoreContinuation(
  model: LanguageModel,
  prompt: Int32Array,
  continuation: ArrayLike<number>,
  criterion: Criterion,
  seed?: number,
): UnitScores {
  const tokens = Int32Array.of(...prompt, ...Array.from(continuation))
  return scoreText(model, tokens, tokens.slice().fill(NOT_SCORED, 0, prompt.length), criterion, seed)
}

/** Options of a prompt planner. */
export type PromptPlannerOptions = Pick<PlannerSources, 'criterion' | 'seed' | 'topK'>

/** Keeps the units with the highest scores for the loss of the prompt, which must have at least two tokens. * @example
 * ```ts
 * import { collectText, makeBudget, rankingOf, ShadowModel } from 'shadowllm'
 * import { glassPlanner, griffinStaticPlanner, promptPlanner } from 'shadowllm/predictor'
 * import { promptStaticPlanner, scoreText } from 'shadowllm/predictor'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { model } = opt
 * const budget = makeBudget(0.5)
 *
 * // Mean scores come from many texts (`calibrateToFolder`); those of one stand for them here.
 * const ids = Int32Array.from(opt.encode('The men were tired, and the captain told them so.', { prefix: true }))
 * const mean = scoreText(model, ids, ids)
 * const planners = [
 *   promptPlanner(model, budget),
 *   promptStaticPlanner(model, mean, budget),
 *   griffinStaticPlanner(mean, budget),
 *   glassPlanner(mean, budget),
 * ]
 * for (const planner of planners) {
 *   const { text } = await collectText(opt.generate('Once upon a time', { planner, maxTokens: 8 }))
 *   console.log(planner.name, rankingOf(planner)?.criterion, text)
 * }
 * await opt.dispose()
 * ```
 */
export function promptPlanner(
  model: LanguageModel,
  budget: Budget,
  { criterion = plainact, seed = 0, topK = referenceTopK }: PromptPlannerOptions = {},
): RankingPlanner {
  const name = `prompt-${criterion.name}`
  const scores = ({ ids }: PromptView): UnitScores => {
    if (ids.length < 2)
      throw new UsageError(
        'PROMPT',
        `planner ${name}: expected a prompt of at least two tokens, got ${ids.length}`,
      )
    return scoreText(model, ids, ids, criterion, seed)
  }
  return rankingPlanner(name, { scores, criterion: criterion.name, budget }, topK)
}

export const promptPlainactRecord: PlannerRecord<'prompt-plainact'> = {
  name: 'prompt-plainact',
  help: "keeps the units that matter most to the prompt's own loss: a forward and a backward pass over it",
  skips: 'units',
  by: 'attention',
  needs: ['prompt-loss'],
  make: ({ model, criterion, seed, topK }, budget) => promptPlanner(model, budget, { criterion, seed, topK }),
}
