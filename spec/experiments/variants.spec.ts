/**
 * Rows, plots and comparisons of experiments and of `reproduce`, computed by hand: from windows of known costs and unequal
 * sizes, and from windows of a model that is fed token by token.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { plainact } from '../../src/criteria/plainact.ts'
import { Measured, type Variant } from '../../src/experiments/variants.ts'
import { denseMethod } from '../../src/results/method.ts'
import { ExperimentCache } from '../../src/experiments/cache/experiment_cache.ts'
import type { MethodScore } from '../../src/evaluation/window_evaluator.ts'
import { compareScores } from '../../src/evaluation/tally.ts'
import { reproduce } from '../../src/experiments/reproduce.ts'
import { reproduceExperiment } from '../../src/experiments/reproduce_report.ts'
import { settingsBySize } from '../../src/evaluation/settings.ts'
import type { Window } from '../../src/data/windows.ts'
import { makeBudget } from '../../src/masks/budget.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { scoreText } from '../../src/planners/prompt_plainact.ts'
import { oraclePlanner } from '../../src/planners/oracle.ts'
import { randomPlanner } from '../../src/planners/random.ts'
import { Random } from '../../src/tensor/random.ts'
import { likelihoodByHand, readByHand, mean, near, nearAll, ratioByHand } from '../evaluation/by_hand.ts'
import { smallConfig, somePages, useSmallModel } from '../evaluation/small_model.ts'

/** A window of a known cost that skipped this share of the heads and twice this share of the neurons. */
const scored = (nll: number, tokens: number, words: number, share: number): MethodScore => {
  const skipped = { heads: share, neurons: 2 * share, weights: 0 }
  return { nll, tokens, words, achieved: { ...skipped, layers: [{ ...skipped, heads: 0 }, skipped] } }
}

// Three windows of unequal sizes. The second costs least under a mask, as may happen by chance.
const dense = [scored(20, 10, 4, 0), scored(6, 2, 1, 0), scored(9, 6, 3, 0)]
const first = [scored(25, 10, 4, 0.25), scored(5, 2, 1, 0.5), scored(12, 6, 3, 0)]
const second = [scored(24, 10, 4, 0.125), scored(8, 2, 1, 0.25), scored(11, 6, 3, 0)]
const [tokens, words] = [
  [10, 2, 6],
  [4, 1, 3],
]
const costs = (windows: readonly MethodScore[]): number[] => windows.map(({ nll }) => nll)

const variant = (label: string): Variant => ({ label, method: (sparsity) => ({ ...denseMethod, sparsity }) })
const measured = new Measured(
  [variant('one'), variant('two')],
  [0.5, 0.75],
  new Map([
    ['dense 0', dense],
    ['one 0.5', first],
    ['two 0.5', second],
    ['one 0.75', second],
    ['two 0.75', first.slice(0, 1)],
  ]),
)

const rowByHand = (
  label: string,
  sparsity: number,
  windows: readonly MethodScore[],
): Record<string, unknown> => {
  const { value, error } = ratioByHand(costs(windows), tokens.slice(0, windows.length))
  const shares = windows.map(({ achieved }) => achieved.heads)
  return {
    variant: label,
    ...nearAll({
      sparsity: 100 * sparsity,
      heads: 100 * mean(shares),
      neurons: 200 * mean(shares),
      perplexity: Math.exp(value),
      word: Math.exp(ratioByHand(costs(windows), words.slice(0, windows.length)).value),
    }),
    error: windows.length < 2 ? null : near(Math.exp(value) * error),
  }
}

describe('variants of known costs', () => {
  test('have rows of sums over sums, with errors over windows of unequal sizes', () => {
    expect(measured.rows()).toEqual([
      rowByHand('dense', 0, dense),
      rowByHand('one', 0.5, first),
      rowByHand('two', 0.5, second),
      rowByHand('one', 0.75, second),
      rowByHand('two', 0.75, first.slice(0, 1)),
    ])
    // All by hand: 42 nats over 18 tokens; windows are 5/3, 1/3 and -2 nats away from their share of it.
    expect(measured.rows()[1]).toMatchObject({
      perplexity: near(Math.exp(7 / 3)),
      error: near((Math.exp(7 / 3) * Math.sqrt(1.5 * (25 / 9 + 1 / 9 + 4))) / 18),
      word: near(Math.exp(42 / 8)),
      heads: 25,
    })
  })

  test('have points with these errors, and no error for a single window', () => {
    const [one, two] = measured.plot('any').series
    expect(one.points[0]).toEqual({
      x: 50,
      y: near(Math.exp(7 / 3)),
      error: near((Math.exp(7 / 3) * Math.sqrt(1.5 * (25 / 9 + 1 / 9 + 4))) / 18),
    })
    expect(two.points[1]).toEqual({ x: 75, y: near(Math.exp(2.5)) })
  })

  test('are compared window by window, in nats per token', () => {
    // Differences of 1, -3 and 1 nats: -1 in 18 tokens, and windows are 14/9, -26/9 and 4/3 nats away from that.
    const { nats, error } = measured.difference('one', 'two', 0.5)
    expect(nats).toBeCloseTo(-1 / 18, 12)
    expect(error).toBeCloseTo(Math.sqrt(1.5 * ((14 / 9) ** 2 + (26 / 9) ** 2 + (4 / 3) ** 2)) / 18, 12)
    expect(compareScores(second, first).nats).toBeCloseTo(1 / 18, 12)
  })

  test('have skipped shares layer by layer, and a ranking', () => {
    expect(measured.layers(0.5)).toEqual([
      { name: 'one, 50 %', heads: [0, 0.25], neurons: [0.5, 0.5] },
      { name: 'two, 50 %', heads: [0, 0.125], neurons: [0.25, 0.25] },
    ])
    expect(measured.ranking(0.5)).toEqual(['one', 'two'])
    expect(measured.ranking(0.75)).toEqual(['one', 'two'])
  })
})

// ---- A model -------------------------------------------------------------------------------------------------------------

const small = useSmallModel('wasm')
let model: LanguageModel
beforeAll(() => void ({ model } = small.source()))

const documents = somePages(20)

/** Five digits: these costs are sums of float32. */
const nearly = (value: number): unknown => expect.closeTo(value, 5 - Math.ceil(Math.log10(value)))

test('a row of reproduce has the costs of its windows, each with a seed of its own for random masks', async () => {
  const seed = 5
  const sizes = { prompt: 12, continuation: 10 }
  const settings = {
    ...settingsBySize.quick,
    ...sizes,
    evaluation: 3,
    sparsities: [0.5, 0.8],
    decode: { prompt: 6, tokens: 3, rounds: 1 },
  }
  const base = { ...small.source(), store: small.newStore(), documents }
  const planners = ['random', 'oracle'] as const
  const report = await reproduce({ ...base, settings, seed, planners, speed: false })
  const cache = await ExperimentCache.open({ ...base, ...sizes })
  const windows = cache.windows('evaluate', 3, seed)
  await cache.dispose()
  // With equal sizes a mean of means would equal a sum over a sum.
  expect(new Set(windows.map((window) => window.tokens.length - window.promptLength)).size).toBeGreaterThan(1)
  const seeds = new Random(seed)
  const own = windows.map(() => seeds.uint32())
  const { layers, heads, neurons } = smallConfig
  const names = ['dense', 'oracle', 'random', 'oracle', 'random'] as const
  const expected = names.map((planner, row) => {
    const sparsity = [0, 0.5, 0.5, 0.8, 0.8][row]
    const budget = makeBudget(sparsity, { scope: 'global' })
    const found = windows.flatMap((window, i) => {
      if (planner === 'dense') return likelihoodByHand(model, window, null)
      if (planner === 'random')
        return likelihoodByHand(model, window, randomPlanner(model.shape, budget, own[i]))
      // Each half under the mask of the other.
      const { tokens, promptLength } = window
      const middle = (promptLength + tokens.length) >> 1
      const isFirst = (t: number): boolean => t < middle
      return [isFirst, (t: number): boolean => !isFirst(t)].map((isScored) => {
        const labels = tokens.map((token, t) => (t < promptLength || isScored(t) ? -100 : token))
        const chosen = oraclePlanner(scoreText(model, tokens, labels, plainact), budget)
        const { rows, mask } = readByHand(model, window, chosen)
        const scored = [...rows].filter(([t]) => isScored(t))
        return { nats: scored.reduce((sum, [t, logs]) => sum + logs[tokens[t]], 0), mask }
      })
    })
    const skipped = (kind: 'heads' | 'neurons', units: number): number =>
      mean(
        found.map(
          ({ mask }) => [...(mask?.[kind] ?? [])].filter((kept) => kept === 0).length / (layers * units),
        ),
      )
    const nll = found.reduce((sum, one) => sum - one.nats, 0)
    const total = (of: (window: Window) => number): number =>
      windows.reduce((sum, window) => sum + of(window), 0)
    return {
      planner,
      sparsity,
      seed,
      decodeTokensPerSecond: null,
      decodeRatioRange: null,
      achieved: nearAll({ heads: skipped('heads', heads), neurons: skipped('neurons', neurons) }),
      tokenPerplexity: nearly(Math.exp(nll / total((one) => one.tokens.length - one.promptLength))),
      wordPerplexity: nearly(Math.exp(nll / total((one) => one.words))),
    }
  })
  expect(report.rows).toMatchObject(expected)
  expect(new Set(report.rows.map(({ tokenPerplexity }) => tokenPerplexity)).size).toBe(5)
})

test('reproduce as an experiment has percentages, and speeds relative to dense', () => {
  const row = (planner: 'dense' | 'shadow', sparsity: number, speed: number | null) => ({
    planner,
    criterion: 'plainact',
    scope: 'global' as const,
    sparsity,
    seed: 0,
    achieved: { heads: sparsity / 2, neurons: sparsity / 4, weights: sparsity / 8 },
    tokenPerplexity: 10 + sparsity,
    tokenPerplexityError: 0.5,
    wordPerplexity: 20 + sparsity,
    decodeTokensPerSecond: speed,
    decodeRatioRange: null,
  })
  const report = {
    rows: [row('dense', 0, 40), row('shadow', 0.5, 50), row('shadow', 0.8, null)],
    provenance: {} as never,
    complete: true,
    calibrationWindows: 0,
    evaluationWindows: 1,
    predictorLoss: null,
    shadowAgainstStatic: [],
    layers: [{ name: 'dense 0 %', heads: [], neurons: [] }],
    measured: [],
    seconds: 1,
  }
  const { rows, plots, layers } = reproduceExperiment(report, 'it')
  const shadow = { planner: 'shadow', criterion: 'plainact' }
  expect(rows[0]).toMatchObject({ planner: 'dense', sparsity: 0, speed: 40, ratio: 1 })
  expect(rows.slice(1)).toEqual([
    {
      ...shadow,
      sparsity: 50,
      heads: 25,
      neurons: 12.5,
      weights: 6.25,
      token: 10.5,
      tokenError: 0.5,
      word: 20.5,
      speed: 50,
      ratio: 1.25,
    },
    {
      ...shadow,
      sparsity: 80,
      heads: 40,
      neurons: 20,
      weights: 10,
      token: 10.8,
      tokenError: 0.5,
      word: 20.8,
      speed: null,
      ratio: null,
    },
  ])
  expect(plots.map(({ series }) => series)).toEqual([
    [
      {
        name: 'shadow',
        points: [
          { x: 50, y: 10.5, error: 0.5 },
          { x: 80, y: 10.8, error: 0.5 },
        ],
      },
    ],
    [{ name: 'shadow', points: [{ x: 50, y: 1.25 }] }],
  ])
  expect(layers).toEqual([])
})
