/**
 * A question asked under any plans, those of no method too.
 */
import type { AskedTokens } from '../../../src/data/tasks/prompts.ts'
import type { MaskMode } from '../../../src/engine/active_layer.ts'
import type { LanguageModel } from '../../../src/engine/language_model.ts'
import { achievedBy } from '../../../src/masks/achieved.ts'
import { answerOf, textsOf, type Answer } from '../../../src/evaluation/tasks/score.ts'
import { scoreTogether, type PlanText } from '../../../src/evaluation/window_evaluator.ts'

/** The answer to a question. @param plan who decides for a context */
export function answerQuestion(
  asking: LanguageModel,
  asked: AskedTokens,
  plan: PlanText = () => null,
  mode: MaskMode = 'auto',
): Answer {
  const [texts, alone] = textsOf(asked, 0).map((text, i) =>
    scoreTogether(asking, text, i === 0 ? plan : () => null, { mode }).map(({ mask, ...score }) => ({
      ...score,
      achieved: achievedBy(mask, asking.config),
    })),
  )
  return answerOf(asked, texts, alone ?? null)
}
