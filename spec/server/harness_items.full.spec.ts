/**
 * What lm-evaluation-harness 0.4.13 said of each answer to each question is what `eval` says, on the embedded model and on
 * SmolLM2; and the server, asked as the harness asks, has the bits of `eval`, dense and under masks.
 */
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { readRows } from '../../src/data/tasks/find_rows.ts'
import { taskByName, tasks } from '../../src/data/tasks/index.ts'
import { askRows, type Asked } from '../../src/data/tasks/prompts.ts'
import { answerOf } from '../../src/evaluation/tasks/score.ts'
import { scoreWindow } from '../../src/evaluation/score_window.ts'
import { hasSmollm2, smollm2File } from '../harness/smollm2.ts'
import { expectedItems, hasRecorded, recordedRows, type ExpectedItem } from './recorded.ts'
import { complete, serverOf } from './served.ts'

/** Nats that a sum over these tokens may be off: the harness computes in float32 too, in another order. */
const tolerance = (tokens: number): number => 2e-3 * tokens

/** The questions of a task as `eval` asks them. */
async function asked(model: ShadowModel, task: string): Promise<readonly Asked[]> {
  const { rows } = await readRows(join(recordedRows, `${task}.jsonl`))
  const { bosId, positions } = model.config
  const encode = (text: string): number[] => model.encode(text)
  const { asked: questions, leftOut } = askRows(taskByName(task), rows, { encode, emptyId: bosId, positions })
  expect(leftOut).toEqual([])
  return questions
}

/** The items of a question, by its place in the file. */
function itemsOf(items: readonly ExpectedItem[], task: string, doc: number): ExpectedItem[] {
  return items.filter((one) => one.task === task && one.doc === doc)
}

/** Tells that our numbers of a question are those of the harness. */
function expectAgreement(
  { requests, lengths, gold }: Asked,
  nlls: readonly number[],
  items: readonly ExpectedItem[],
): void {
  expect(items.length).toBe(requests.length)
  requests.forEach(({ tokens, promptLength }, i) => {
    const difference = Math.abs(-nlls[i] - items[i].loglikelihood)
    expect(difference, `${items[i].task} ${items[i].doc} answer ${i}`).toBeLessThan(
      tolerance(tokens.length - promptLength),
    )
  })
  const achieved = { heads: 0, neurons: 0, weights: 0, layers: [] }
  const { chosen } = answerOf(
    { requests, lengths, gold },
    nlls.map((nll) => ({ nll, achieved })),
    null,
  )
  const last = items[items.length - 1]
  expect(chosen.acc === gold ? 1 : 0).toBe(last.acc)
  if (typeof last.acc_norm === 'number') expect(chosen.acc_norm === gold ? 1 : 0).toBe(last.acc_norm)
}

const nllsOf = (model: ShadowModel, { requests }: Asked): number[] =>
  requests.map((request) => scoreWindow(model.model, { ...request, words: 0 }).nll)

const subjects = [
  {
    name: 'tiny-opt',
    path: 'embedded',
    why: hasRecorded ? '' : ' (skipped: no ../shared/lm-eval)',
    stride: 1,
  },
  {
    name: 'smollm2',
    path: smollm2File,
    why: hasRecorded && hasSmollm2 ? '' : ' (skipped: no ../shared/lm-eval or no SmolLM2)',
    stride: 5,
  },
]

for (const { name, path, why, stride } of subjects)
  describe.skipIf(why !== '')(`the harness's items of ${name}${why}`, () => {
    const opened = why === '' ? ShadowModel.fromPretrained(path, { storage: 'f32' }) : null
    afterAll(async () => (await opened)?.dispose())
    const items = expectedItems(name)

    test.each(tasks.map((task) => task.name))(
      '%s: every answer has its log-likelihood and its accuracies',
      { timeout: 600_000 },
      async (task) => {
        const model = (await opened) as ShadowModel
        const questions = await asked(model, task)
        expect(new Set(items.filter((one) => one.task === task).map(({ doc }) => doc)).size).toBe(
          questions.length,
        )
        for (const [doc, question] of questions.entries()) {
          if (doc % stride !== 0) continue
          expectAgreement(question, nllsOf(model, question), itemsOf(items, task, doc))
        }
      },
    )
  })

describe.skipIf(!hasRecorded)(`differences from the harness are found${subjects[0].why}`, () => {
  test.each<[string, string, (question: Asked) => Asked]>([
    ['one space before an answer of COPA', 'copa', (question) => question],
    [
      'one token fewer of the context',
      'piqa',
      (question) => ({
        ...question,
        requests: question.requests.map(({ tokens, promptLength }) => ({
          tokens: tokens.slice(1),
          promptLength: promptLength - 1,
        })),
      }),
    ],
    [
      'the answers in another order',
      'arc_easy',
      (question) => ({ ...question, requests: question.requests.toReversed() }),
    ],
  ])('%s', async (_, task, change) => {
    const model = await ShadowModel.fromPretrained()
    const items = expectedItems('tiny-opt')
    const { rows } = await readRows(join(recordedRows, `${task}.jsonl`))
    const { bosId, positions } = model.config
    const encode = (text: string): number[] => model.encode(task === 'copa' ? text.replace('  ', ' ') : text)
    const {
      asked: [question],
    } = askRows(taskByName(task), rows, { encode, emptyId: bosId, positions })
    const changed = change(question)
    expect(() => expectAgreement(changed, nllsOf(model, changed), itemsOf(items, task, 0))).toThrow()
    await model.dispose()
  })
})

describe.skipIf(!hasRecorded)(`the server has the bits of eval${subjects[0].why}`, () => {
  test.each(tasks.map((task) => task.name))(
    '%s, dense and under masks',
    { timeout: 600_000 },
    async (task) => {
      const model = await ShadowModel.fromPretrained()
      const server = serverOf(model)
      const questions = await asked(model, task)
      for (const planner of ['dense', 'random', 'prompt-plainact'] as const)
        for (const { requests } of questions.slice(0, 2)) {
          const body = {
            max_tokens: 1,
            logprobs: 1,
            echo: true,
            temperature: 0,
            seed: 1234,
            planner,
            ...(planner !== 'dense' && { sparsity: 0.4 }),
          }
          for (const { tokens, promptLength } of requests) {
            const k = promptLength
            // One more than the model takes is scored and never fed.
            const whole = tokens.length + 1 > model.config.positions ? null : [...tokens]
            if (whole === null) continue
            const { choices } = await complete(server, { ...body, prompt: [whole], mask_prompt_tokens: k })
            const own = choices[0].logprobs?.token_logprobs.slice(k, -1) as number[]
            const decider = await model.planner({ planner, sparsity: 0.4, seed: 1234 })
            const { nll } = scoreWindow(
              model.model,
              { tokens, promptLength: k, words: 0 },
              { planner: decider },
            )
            expect(own.reduce((sum, value) => sum - value, 0)).toBe(nll)
          }
        }
      await model.dispose()
    },
  )
})
