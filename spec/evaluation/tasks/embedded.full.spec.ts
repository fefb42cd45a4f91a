/**
 * The embedded model on the task of continuing a text.
 */
import { expect, test } from 'vitest'
import { askContinuations } from '../../../src/data/tasks/continuation.ts'
import { accuracyOf } from '../../../src/evaluation/tasks/score.ts'
import { brownForEvaluation } from '../../../src/data/texts.ts'
import { makeWordEncoder } from '../../../src/data/windows.ts'
import { ShadowModel } from '../../../src/library/shadow_model.ts'
import { answerQuestion } from './answer_question.ts'

test('the embedded model chooses the continuation of a text better than chance', async () => {
  const opt = await ShadowModel.fromPretrained('embedded')
  const asked = askContinuations({
    documents: (await brownForEvaluation()).slice(0, 45),
    count: 24,
    seed: 0,
    prompt: 40,
    continuation: 16,
    prefixIds: [2],
    emptyId: 2,
    encodeWords: makeWordEncoder((part) => opt.encode(part)),
    charactersOf: (tokens) => tokens.length,
  })
  const answers = asked.map((one) => answerQuestion(opt.model, one, undefined, 'skip'))
  // By chance 6 of 24 are right, and 14 or more only once in 1,900 runs.
  expect(accuracyOf(answers, 'acc_mutual_info').value * 24).toBeGreaterThanOrEqual(14)
  await opt.dispose()
})
