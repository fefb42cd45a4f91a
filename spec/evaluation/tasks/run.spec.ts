/**
 * Each number of a report of tasks is computed again by hand: log-likelihoods token by token, choices, shares and their errors
 * by plain loops.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { plainact } from '../../../src/criteria/plainact.ts'
import { compareMethods } from '../../../src/results/method.ts'
import type { TaskRun } from '../../../src/evaluation/tasks/asking.ts'
import type { Asked, Request } from '../../../src/data/tasks/prompts.ts'
import { runTasks, type RunOptions, type TasksReport } from '../../../src/evaluation/tasks/run.ts'
import { makeBudget } from '../../../src/masks/budget.ts'
import type { MaskPlanner } from '../../../src/masks/planner.ts'
import type { LanguageModel } from '../../../src/engine/language_model.ts'
import { scoreText } from '../../../src/planners/prompt_plainact.ts'
import { oraclePlanner } from '../../../src/planners/oracle.ts'
import { randomPlanner } from '../../../src/planners/random.ts'
import { Random } from '../../../src/tensor/random.ts'
import { likelihoodByHand, mean, near, nearAll } from '../by_hand.ts'
import { smallConfig, useSmallModel } from '../small_model.ts'

const seed = 11
const { layers, heads, neurons } = smallConfig

const small = useSmallModel('wasm')
let model: LanguageModel
let report: TasksReport

beforeAll(async () => {
  model = small.source().model
  report = await run()
})

/** Questions with answers of three tokens each, so that masks decide which is most likely, and of 9, 2 and 5 bytes. */
const ask = (from: number, count: number, contexts: 1 | 3): Asked[] =>
  Array.from({ length: count }, (_, i) => {
    const random = new Random(from + i)
    const draw = (length: number): number[] => Array.from({ length }, () => 5 + random.below(30))
    const shared = draw(6)
    const requests = [0, 1, 2].map((answer): Request => {
      const context = contexts === 1 || answer === 0 ? shared : draw(6)
      return { tokens: Int32Array.of(...context, ...draw(3)), promptLength: 6 }
    })
    const alone = requests.map(({ tokens }) => ({
      tokens: Int32Array.of(2, ...tokens.subarray(6)),
      promptLength: 1,
    }))
    return { place: `${i}`, genre: 'test', requests, alone, lengths: [9, 2, 5], gold: i % 3 }
  })

const tasks: TaskRun[] = [
  {
    name: 'long',
    version: 1,
    metrics: ['acc', 'acc_norm', 'acc_mutual_info'],
    shots: 2,
    original: 9,
    asked: ask(120, 7, 1),
    leftOut: ['row 7', 'row 8'],
    config: { task: 'long' },
  },
  {
    name: 'short',
    version: 3,
    metrics: ['acc'],
    shots: 0,
    original: 3,
    asked: ask(40, 3, 3),
    leftOut: [],
    config: { task: 'short' },
  },
]

const rows = [
  ['dense', 0],
  ['random', 0.5],
  ['oracle', 0.5],
  ['random', 0.8],
  ['oracle', 0.8],
] as const

function run(more: Partial<RunOptions> = {}): Promise<TasksReport> {
  return runTasks({
    model,
    tasks,
    methods: compareMethods(model, {
      planners: ['random', 'oracle'],
      sparsities: [0.5, 0.8],
      scope: 'global',
      criterion: 'plainact',
    }),
    seed,
    config: { model: 'small' },
    provenance: {} as RunOptions['provenance'],
    ...more,
  })
}

// ---- By hand -------------------------------------------------------------------------------------------------------------

/** Random masks have the seed of the question. The oracle sees the right answer, or the own one if the contexts differ. */
function plannerOf(
  row: number,
  { requests, gold }: Asked,
  request: Request,
  own: number,
): MaskPlanner | null {
  const [name, sparsity] = rows[row]
  if (name === 'dense') return null
  const budget = makeBudget(sparsity, { scope: 'global' })
  if (name === 'random') return randomPlanner(model.shape, budget, own)
  const context = ({ tokens, promptLength }: Request): string => tokens.slice(0, promptLength).join()
  const { tokens, promptLength } = context(request) === context(requests[gold]) ? requests[gold] : request
  const labels = tokens.map((token, t) => (t < promptLength ? -100 : token))
  return oraclePlanner(scoreText(model, tokens, labels, plainact), budget)
}

interface HandAnswer {
  readonly right: Record<string, boolean>
  readonly acc: number
  readonly skipped: { heads: number; neurons: number }
}

const zeros = (table: Float32Array | undefined): number =>
  [...(table ?? [])].filter((kept) => kept === 0).length

function answerByHand(row: number, asked: Asked, own: number): HandAnswer {
  const { requests, alone = [], lengths, gold } = asked
  const read = requests.map((request) =>
    likelihoodByHand(model, request, plannerOf(row, asked, request, own)),
  )
  const nats = read.map((one) => one.nats)
  const first = (values: number[]): number => values.indexOf(Math.max(...values))
  const chosen = {
    acc: first(nats),
    acc_norm: first(nats.map((value, i) => value / lengths[i])),
    acc_mutual_info: first(nats.map((value, i) => value - likelihoodByHand(model, alone[i], null).nats)),
  }
  return {
    right: Object.fromEntries(Object.entries(chosen).map(([metric, place]) => [metric, place === gold])),
    acc: chosen.acc,
    skipped: {
      heads: mean(read.map(({ mask }) => zeros(mask?.heads) / (layers * heads))),
      neurons: mean(read.map(({ mask }) => zeros(mask?.neurons) / (layers * neurons))),
    },
  }
}

/** The answers of a task in one row; each task starts from the seed of the run. */
function answersByHand({ asked }: TaskRun, row: number): HandAnswer[] {
  const seeds = new Random(seed)
  return asked.map((one) => answerByHand(row, one, seeds.uint32()))
}

/** A share and its standard error, as the mean of zeros and ones. */
function shareByHand(right: readonly boolean[]): { value: number; error: number } {
  const numbers = right.map(Number)
  const value = mean(numbers)
  const squares = numbers.reduce((sum, one) => sum + (one - value) ** 2, 0)
  return { value, error: Math.sqrt(squares / (right.length - 1) / right.length) }
}

/** The mean of differences of right answers, and its standard error. */
function differenceByHand(
  right: readonly boolean[],
  other: readonly boolean[],
): { value: number; error: number } {
  const differences = right.map((one, i) => Number(one) - Number(other[i]))
  const value = mean(differences)
  const squares = differences.reduce((sum, one) => sum + (one - value) ** 2, 0)
  return { value, error: Math.sqrt(squares / (right.length - 1) / right.length) }
}

/** The mean over tasks, whose errors add up as independent ones. */
function meanByHand(parts: readonly { value: number; error: number }[]): { value: unknown; error: unknown } {
  const squares = parts.reduce((sum, { error }) => sum + error * error, 0)
  return {
    value: near(mean(parts.map(({ value }) => value))),
    error: near(Math.sqrt(squares) / parts.length),
  }
}

function isByHand({ rows: found, means }: TasksReport): void {
  const accuracies = rows.map((): { value: number; error: number }[] => [])
  const differences = rows.map((): { value: number; error: number }[] => [])
  let next = 0
  for (const task of tasks) {
    const dense = answersByHand(task, 0)
    for (const [i, [planner, sparsity]] of rows.entries()) {
      const answers = answersByHand(task, i)
      const scores: Record<string, unknown> = { alias: task.name }
      const overDense: Record<string, unknown> = {}
      for (const metric of task.metrics) {
        const { value, error } = shareByHand(answers.map(({ right }) => right[metric]))
        scores[`${metric},none`] = near(value)
        scores[`${metric}_stderr,none`] = near(error)
        const [right, other] = [answers, dense].map((all) => all.map((one) => one.right[metric]))
        const difference = differenceByHand(right, other)
        overDense[metric] = nearAll(difference)
        if (metric !== 'acc') continue
        accuracies[i].push({ value, error })
        differences[i].push(difference)
      }
      const skipped = (kind: 'heads' | 'neurons'): number => mean(answers.map((one) => one.skipped[kind]))
      const row = found[next++]
      expect(row, `${task.name}, row ${i}`).toMatchObject({
        task: task.name,
        planner,
        sparsity,
        seed,
        agreement: near(mean(answers.map(({ acc }, n) => Number(acc === dense[n].acc)))),
        questions: task.asked.length,
        achieved: nearAll({ heads: skipped('heads'), neurons: skipped('neurons') }),
      })
      expect(row.scores, `${task.name}, row ${i}`).toEqual(scores)
      expect(row.overDense, `${task.name}, row ${i}`).toEqual(overDense)
    }
  }
  expect(found).toHaveLength(next)
  expect(means).toEqual(
    rows.map(([planner, sparsity], i) => {
      const { value: acc, error } = meanByHand(accuracies[i])
      return { planner, sparsity, acc, error, overDense: meanByHand(differences[i]) }
    }),
  )
}

describe('the rows of a report of tasks', () => {
  test('equal plain sums in float64, each question with a seed of its own', () => isByHand(report))

  test('are of informative questions: metrics differ, tasks differ, masks change choices', () => {
    const [dense] = report.rows

    expect(
      new Set(['acc', 'acc_norm', 'acc_mutual_info'].map((metric) => dense.scores[`${metric},none`])).size,
    ).toBe(3)
    expect(report.rows.filter(({ agreement }) => agreement > 0 && agreement < 1).length).toBeGreaterThan(2)
  })

  test.each(
    Object.entries<Partial<RunOptions>>({
      'another seed': { seed: seed + 1 },
      'questions in another order': {
        tasks: tasks.map((task) => ({ ...task, asked: task.asked.toReversed() })),
      },
      'tokens in place of bytes': {
        tasks: tasks.map((task) => ({
          ...task,
          asked: task.asked.map((one) => ({ ...one, lengths: [3, 3, 3] })),
        })),
      },
    }),
  )('mutant: %s: killed', async (_, more) => {
    const broken = await run(more)
    expect(() => isByHand({ ...broken, rows: broken.rows.map((row) => ({ ...row, seed })) })).toThrow('row')
  })

  test('have the counts, versions and shots of their tasks', () => {
    expect(report).toMatchObject({
      versions: { long: 1, short: 3 },
      'n-shot': { long: 2, short: 0 },
      'n-samples': {
        long: { original: 9, effective: 7, left_out: 2 },
        short: { original: 3, effective: 3, left_out: 0 },
      },
      configs: { long: { task: 'long' }, short: { task: 'short' } },
      higher_is_better: {
        long: { acc: true, acc_norm: true, acc_mutual_info: true },
        short: { acc: true },
      },
      results: { long: report.rows[0].scores, short: report.rows[5].scores },
    })
  })

  test('of one question have no error', async () => {
    const [one] = (await run({ tasks: [{ ...tasks[1], asked: tasks[1].asked.slice(0, 1) }] })).rows
    expect(one.scores).toMatchObject({ 'acc_stderr,none': 'N/A' })
  })
})
