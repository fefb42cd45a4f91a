/**
 * Choosing answers: by likelihood, under one mask that depends on the context only.
 *
 * Tests src/data/tasks/continuation.ts.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { compareMethods } from '../../../src/results/method.ts'
import { DenseLogits, readLogits } from '../../../src/evaluation/score_window.ts'
import { askContinuations, type ContinuationOptions } from '../../../src/data/tasks/continuation.ts'
import type { Request } from '../../../src/data/tasks/prompts.ts'
import { runTasks, type RunOptions, type TasksReport } from '../../../src/evaluation/tasks/run.ts'
import { accuracyOf, type Answer } from '../../../src/evaluation/tasks/score.ts'
import type { PlanText } from '../../../src/evaluation/window_evaluator.ts'
import { makeWordEncoder } from '../../../src/data/windows.ts'
import { makeBudget } from '../../../src/masks/budget.ts'
import { denseMask } from '../../../src/masks/mask.ts'
import type { MaskPlanner, PlannerSettings, PromptView } from '../../../src/masks/planner.ts'
import type { LanguageModel } from '../../../src/engine/language_model.ts'
import { randomPlanner } from '../../../src/planners/random.ts'
import { Random } from '../../../src/tensor/random.ts'
import { answerQuestion } from './answer_question.ts'
import { encodeLetters, question, smallConfig, useSmallModel } from '../small_model.ts'

const small = useSmallModel('reference')
let model: LanguageModel
beforeAll(() => void ({ model } = small.source()))

/** Log-likelihood by rows of logits. */
function likelihood({ tokens, promptLength }: Request): number {
  const read = readLogits(model, { tokens, promptLength, words: 0 })
  return -new DenseLogits(read, tokens, smallConfig.vocabulary).scoreFrom(promptLength).nll
}

/** The choices are the best by the logits themselves, by byte, and beside the answer alone. */
const choosesTheBest = (ask: typeof answerQuestion) => {
  for (let seed = 0; seed < 12; seed++) {
    const asked = question(seed)
    const { chosen, logLikelihoods } = ask(model, asked, undefined, 'skip')
    const known = asked.requests.map(likelihood)
    logLikelihoods.forEach((value, i) => expect(value).toBeCloseTo(known[i], 3))
    const best = (values: number[]): number => values.indexOf(Math.max(...values))
    expect(chosen.acc).toBe(best(known))
    expect(chosen.acc_norm).toBe(best(known.map((value, i) => value / asked.lengths[i])))
    const alone = (asked.alone ?? []).map(likelihood)
    expect(chosen.acc_mutual_info).toBe(best(known.map((value, i) => value - alone[i])))
  }
}

/** One mask for each context, made from it alone; all its answers run under it. */
const masksOncePerContext = (ask: typeof answerQuestion) => {
  for (const contexts of [1, 3] as const) {
    const asked = question(1, contexts)
    const seen: number[][] = []
    const random = randomPlanner(model.shape, makeBudget(0.6), 4)
    const plan: PlanText = () => ({
      name: 'spy',
      by: 'attention',
      choose(view: PromptView) {
        seen.push([...view.ids])
        return random.choose(view)
      },
    })
    const { logLikelihoods } = ask(model, asked, plan)
    expect(seen).toEqual(asked.requests.slice(0, contexts).map(({ tokens }) => [...tokens.subarray(0, 8)]))
    if (contexts === 3) continue
    const again = randomPlanner(model.shape, makeBudget(0.6), 4)
    const sequence = model.begin({ planner: again })
    sequence.feed(asked.requests[0].tokens.slice(0, 8))
    const mask = sequence.mask ?? denseMask(model.shape)
    sequence.dispose()
    const under: MaskPlanner = { name: 'fixed', by: 'attention', choose: () => mask }
    expect(ask(model, asked, () => under).logLikelihoods).toEqual(logLikelihoods)
  }
}

/** The same plans, told something else. */
const changed =
  (plan: PlanText | undefined, more: Partial<PlannerSettings>): PlanText =>
  (request) => {
    const planner = plan?.(request) ?? null
    return planner && { ...planner, ...more }
  }

describe('an answer', () => {
  test('is chosen by likelihood, by likelihood per byte, and by likelihood relative to the answer alone', () =>
    choosesTheBest(answerQuestion))

  test('is scored under the mask of its context', () => masksOncePerContext(answerQuestion))

  test('of a leaky planner has its own mask, from all fed tokens', () => {
    const asked = question(2)
    const seen: number[] = []
    const plan: PlanText = () => ({
      name: 'spy',
      leaky: true,
      by: 'attention',
      choose({ tokens }: PromptView) {
        seen.push(tokens)
        return denseMask(model.shape)
      },
    })
    expect(answerQuestion(model, asked, plan).logLikelihoods).toEqual(
      answerQuestion(model, asked).logLikelihoods,
    )
    expect(seen).toEqual([11, 8, 13])
  })

  test('among equal ones is the first', () => {
    const asked = question(0)
    const same = {
      ...asked,
      requests: [asked.requests[0], asked.requests[0]],
      lengths: [4, 4],
      alone: undefined,
    }
    expect(answerQuestion(model, same).chosen).toEqual({ acc: 0, acc_norm: 0 })
  })

  test.each<[string, typeof answerQuestion, (ask: typeof answerQuestion) => void]>([
    [
      'the last of the answers is chosen',
      (...args) => ({ ...answerQuestion(...args), chosen: { acc: 2, acc_norm: 2, acc_mutual_info: 2 } }),
      choosesTheBest,
    ],
    [
      'likelihood per byte is likelihood',
      (...args) => {
        const answer = answerQuestion(...args)
        return { ...answer, chosen: { ...answer.chosen, acc_norm: answer.chosen.acc } }
      },
      choosesTheBest,
    ],
    [
      'every answer is planned anew',
      (m, asked, plan, ...rest) => answerQuestion(m, asked, changed(plan, { every: 100 }), ...rest),
      masksOncePerContext,
    ],
    [
      'the mask sees the answer',
      (m, asked, plan, ...rest) => answerQuestion(m, asked, changed(plan, { leaky: true }), ...rest),
      masksOncePerContext,
    ],
  ])('mutant: %s: killed', (_, mutant, law) => expect(() => law(mutant)).toThrow(/expected/))
})

test('accuracy is a mean, its error that of a sample', () => {
  const answers = [1, 1, 0, 1].map((right): Answer => ({
    logLikelihoods: [],
    chosen: { acc: right ? 0 : 1, acc_norm: 0 },
    gold: 0,
    achieved: { heads: 0, neurons: 0, weights: 0, layers: [] },
  }))
  const { value, error } = accuracyOf(answers, 'acc')
  expect(value).toBe(0.75)
  expect(error).toBeCloseTo(Math.sqrt((3 * 0.25 ** 2 + 0.75 ** 2) / 3) / 2, 12)
  expect(accuracyOf(answers.slice(0, 1), 'acc')).toEqual({ value: 1, error: null })
  expect(accuracyOf(answers, 'acc_norm')).toEqual({ value: 1, error: 0 })
})

describe('a report', () => {
  const run = (more: Partial<RunOptions> = {}, signal?: AbortSignal): Promise<TasksReport> =>
    runTasks(
      {
        model,
        tasks: [
          {
            name: 'test',
            version: 1,
            metrics: ['acc'],
            shots: 2,
            original: 9,
            asked: [1, 2, 3, 4].map((seed) => question(seed)),
            leftOut: ['row 7'],
            config: {},
          },
        ],
        methods: compareMethods(model, {
          planners: ['random', 'oracle'],
          sparsities: [0.5, 0.8],
          scope: 'global',
          criterion: 'plainact',
        }),
        seed: 0,
        config: { model: 'small' },
        provenance: {} as RunOptions['provenance'],
        ...more,
      },
      undefined,
      signal,
    )

  test('has the keys of the harness for dense, and a row for every method', async () => {
    const report = await run()
    expect(report.results).toEqual({
      test: { alias: 'test', 'acc,none': expect.any(Number), 'acc_stderr,none': expect.any(Number) },
    })
    expect(report).toMatchObject({
      versions: { test: 1 },
      'n-shot': { test: 2 },
      'n-samples': { test: { original: 9, effective: 4, left_out: 1 } },
      higher_is_better: { test: { acc: true } },
      complete: true,
    })
    expect(report.rows.map(({ planner, sparsity }) => `${planner} ${sparsity}`)).toEqual([
      'dense 0',
      'random 0.5',
      'oracle 0.5',
      'random 0.8',
      'oracle 0.8',
    ])
    const [dense, random] = report.rows
    expect(dense).toMatchObject({ scores: report.results.test, agreement: 1, achieved: { heads: 0 } })
    expect(random.achieved.neurons).toBeCloseTo(1 / 3, 10)
    expect((await run({ mode: 'simulate' })).rows).toEqual(report.rows)
  })

  test('of an interrupted run has the finished questions', async () => {
    expect(await run({}, AbortSignal.abort())).toMatchObject({ complete: false, results: {}, rows: [] })
  })
})

describe('continuation', () => {
  const optionsOf = (more: Partial<ContinuationOptions> = {}): ContinuationOptions => {
    const documents = ['verse', 'prose'].flatMap((genre, g) =>
      [0, 1].map((i) => {
        const random = new Random(2 * g + i)
        const words = Array.from({ length: 60 }, () => 'abcdefgh'.slice(random.below(4), 5 + random.below(4)))
        return { name: `${genre} ${i}`, genre, text: words.join(' ') }
      }),
    )
    return {
      documents,
      count: 6,
      seed: 1,
      prompt: 14,
      continuation: 10,
      prefixIds: [2],
      emptyId: 2,
      encodeWords: makeWordEncoder(encodeLetters),
      charactersOf: (tokens) => tokens.length,
      ...more,
    }
  }

  test.each([[2], []])(
    'has one right answer among four different ones, all after the same context',
    (...prefixIds) => {
      const asked = askContinuations(optionsOf({ prefixIds, emptyId: 5 }))
      expect(asked).toHaveLength(6)
      expect(new Set(asked.map(({ gold }) => gold)).size).toBeGreaterThan(1)
      for (const { requests, alone, lengths } of asked) {
        const split = (part: 0 | 1): string[] =>
          requests.map(({ tokens, promptLength }) =>
            (part ? tokens.subarray(promptLength) : tokens.subarray(0, promptLength)).join(),
          )
        expect(new Set(split(0)).size).toBe(1)
        expect(new Set(split(1)).size).toBe(4)
        expect(alone?.map(({ tokens }) => tokens.subarray(1).join())).toEqual(split(1))
        // An answer alone has something before it, whether or not a context does.
        for (const { tokens } of alone ?? []) expect(tokens[0]).toBe(prefixIds[0] ?? 5)
        for (const { tokens } of requests)
          expect([...tokens.subarray(0, prefixIds.length)]).toEqual(prefixIds)
        expect(lengths).toEqual(requests.map(({ tokens, promptLength }) => tokens.length - promptLength))
      }
    },
  )

  test('depends on the seed, and is a prefix of a longer one', () => {
    const asked = askContinuations(optionsOf())
    expect(askContinuations(optionsOf({ count: 3 }))).toEqual(asked.slice(0, 3))
    expect(askContinuations(optionsOf({ seed: 2 }))).not.toEqual(asked)
    expect(() => askContinuations(optionsOf({ prompt: 1000 }))).toThrow(/^text: expected 4 windows/)
  })
})
