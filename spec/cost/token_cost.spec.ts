/**
 * Costs of two tiny decoders are counted by hand, the cost of several tokens is the mean of one-token costs, and the rows of the
 * cost experiments follow from these numbers.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  architectureByName,
  architectureOf,
  architectures,
  countParameters,
  type Architecture,
} from '../../src/cost/architectures.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { windowRows } from '../../src/engine/kv_cache.ts'
import {
  clusterCost,
  clusterExperiment,
  resultBytes,
  defaultCluster,
  windowFlops,
  type ClusterOptions,
} from '../../src/cost/cluster.ts'
import { costExperiment, predictorCostExperiment } from '../../src/cost/experiments.ts'
import {
  costMethods,
  keptUnits,
  tokenCost,
  weightsRead,
  type CostSettings,
  type TokenCost,
} from '../../src/cost/token_cost.ts'
import type { ClusterOutcome } from '../../src/jobs/simulate.ts'
import { storageNamed, storages } from '../../src/engine/storages/index.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { mean, near, nearAll } from '../evaluation/by_hand.ts'

/** Shared keys and values, gates, no biases, and an untied output head. */
const gated = architectureOf(
  'gated',
  makeConfig({
    family: 'llama',
    layers: 3,
    width: 8,
    heads: 4,
    keyHeads: 2,
    neurons: 5,
    vocabulary: 7,
    positions: 10,
  }),
)

/** Biases, positions, a narrow token table tied to the output head, and no final norm. */
const narrow = architectureOf(
  'narrow',
  makeConfig({
    layers: 2,
    width: 8,
    heads: 2,
    neurons: 6,
    vocabulary: 7,
    embeddingWidth: 4,
    positions: 10,
    preNorm: false,
  }),
)

type Cost = typeof tokenCost

const int8: CostSettings = { sparsity: 0.5, storage: 'int8', prompt: 5, tokens: 4, hidden: 3 }
const f16: CostSettings = { sparsity: 0.5, storage: 'f16', prompt: 3, tokens: 2, hidden: 3 }

// Half of eight ranked heads and of ten ranked neurons are kept, and four heads and five neurons of layer 0. The token reads the
// queries and outputs of 8 heads, the keys and values of 6, three matrices of 10 neurons, the output head, seven norms and a row.
const gatedMatrix = 2 * 8 * 2 * 8 + 2 * 6 * 2 * 8 + 3 * 10 * 8 + 7 * 8
const gatedWhole = 2 * 12 * 2 * 8 + 2 * 6 * 2 * 8 + 3 * 15 * 8 + 7 * 8
const gatedVector = 7 * 8 + 8
// A float32 scale for each row: of 16 queries, 24 keys and values, 16 outputs, 30 gates and the head; dense and held likewise.
const gatedScales = 4 * (16 + 24 + 16 + 30 + 7)
const wholeScales = 4 * (24 + 24 + 24 + 45 + 7)
// The mean context of four tokens after five is 7.5. Predictors of heads and neurons have 2 * 8 * 3 weights in, 3 * 9 out.
const gatedCache = 4 * 2 * 6 * 2 * 7.5
const [dejavu, shadow] = [2 * (48 + 27), 48 + 2 * 27]
// Two tables, three layers of queries, outputs, keys, values, gates and norms, and the last norm; nine tokens of cache.
const gatedMemory =
  2 * 56 + 3 * (2 * 64 + 2 * 32 + 3 * 40) + 4 * (7 * 8) + wholeScales + 4 * 7 + 4 * 2 * 3 * 2 * 2 * 9

const counts: [Architecture, CostSettings, readonly Partial<TokenCost>[]][] = [
  [
    gated,
    int8,
    [
      [gatedWhole, wholeScales, 12, 0, 0],
      [gatedMatrix, gatedScales, 8, dejavu, dejavu],
      [gatedMatrix, gatedScales, 8, shadow, shadow],
      [gatedMatrix, gatedScales, 8, shadow / 4, shadow],
    ].map(([matrix, scales, heads, read, held]) => ({
      weights: matrix + scales + 4 * gatedVector,
      cache: gatedCache,
      predictor: read,
      bytes: matrix + scales + 4 * gatedVector + gatedCache + read,
      flops: 2 * matrix + 4 * heads * 2 * 7.5 + 2 * read,
      memory: gatedMemory + held,
    })),
  ],
  [
    narrow,
    f16,
    // Four matrices of 4 heads, two of 12 neurons, the head and two projections; under half of layer 1, 3 heads and 9 neurons.
    [
      [4 * 4 * 4 * 8 + 2 * 12 * 8 + 28 + 64, 4, 12, 0, 0],
      [4 * 3 * 4 * 8 + 2 * 9 * 8 + 28 + 64, 3, 9, 48 + 3 * 8, 48 + 3 * 8],
      [4 * 3 * 4 * 8 + 2 * 9 * 8 + 28 + 64, 3, 9, 48 + 3 * 8, 48 + 3 * 8],
      [4 * 3 * 4 * 8 + 2 * 9 * 8 + 28 + 64, 3, 9, (48 + 3 * 8) / 2, 48 + 3 * 8],
    ].map(([matrix, heads, neurons, read, held]) => {
      // Biases of queries, keys and values, of outputs, of both halves of the feed-forward; four norms; a row of each table.
      const vector = 3 * heads * 4 + 16 + neurons + 16 + 4 * 16 + (4 + 8)
      const cache = 4 * 2 * heads * 4 * 4.5
      return {
        weights: 2 * matrix + 4 * vector,
        cache,
        predictor: 2 * read,
        bytes: 2 * matrix + 4 * vector + cache + 2 * read,
        flops: 2 * matrix + 4 * heads * 4 * 4.5 + 2 * read,
        // Tables and matrices in two bytes a number, positions, biases and norms in four, five tokens of cache.
        memory:
          2 * (28 + 64 + 2 * (4 * 64 + 2 * 48)) +
          4 * (96 + 2 * (4 * 8 + 6 + 8) + 4 * 16) +
          4 * 2 * 16 * 5 +
          2 * held,
      }
    }),
  ],
]

const isCountedByHand = (cost: Cost): void => {
  for (const [model, settings, expected] of counts)
    expect(
      costMethods.map((method) => cost(model, method, settings)),
      model.name,
    ).toEqual(costMethods.map((method, i) => ({ method, ...expected[i] })))
}

/** Each token is counted alone. The first of a sequence includes a predictor that runs once. */
const isTheMeanOfOnes = lawForAll(
  'of a sequence is the mean of what each token costs alone',
  {
    model: fc.constantFrom(gated, narrow, ...architectures),
    settings: fc.record({
      sparsity: fc.double({ min: 0, max: 1, noNaN: true }),
      storage: fc.constantFrom(...storages),
      // A window of 512 positions begins to slide among the tokens of some.
      prompt: fc.oneof(fc.integer({ min: 1, max: 2048 }), fc.integer({ min: 500, max: 511 })),
      tokens: fc.integer({ min: 1, max: 12 }),
      hidden: fc.integer({ min: 1, max: 4096 }),
    }),
  },
  (cost: Cost, { model, settings }) => {
    const { prompt, tokens } = settings
    const seenAt = (length: number): number =>
      mean(Array.from({ length: model.layers }, (_, l) => Math.min(length, model.layerWindow?.[l] ?? length)))
    for (const method of costMethods) {
      const ones = Array.from({ length: tokens }, (_, i) => {
        const one = cost(model, method, { ...settings, prompt: prompt + i, tokens: 1 })
        // A token reads its own key and value too.
        const { cache } = cost(model, method, { ...settings, prompt: 1, tokens: 1 })
        const expected = (cache / 2) * seenAt(prompt + i + 1)
        expect(Math.abs(one.cache - expected), `cache of ${method}`).toBeLessThanOrEqual(1e-12 * expected)
        const isPaidBefore = method === 'shadow' && i > 0
        // Two operations for each weight of a predictor.
        const weights = one.predictor / storageNamed(settings.storage).numberBytes
        return isPaidBefore
          ? { ...one, predictor: 0, bytes: one.bytes - one.predictor, flops: one.flops - 2 * weights }
          : one
      })
      const of = (kind: 'weights' | 'cache' | 'predictor' | 'bytes' | 'flops'): number =>
        mean(ones.map((one) => one[kind]))
      const { method: _, memory, ...found } = cost(model, method, settings)
      for (const [kind, value] of Object.entries(found)) {
        const expected = of(kind as keyof typeof found)
        expect(Math.abs(value - expected), `${kind} of ${method}`).toBeLessThanOrEqual(1e-9 * expected)
      }
      expect(memory, `memory of ${method}`).toBe(ones[tokens - 1].memory)
    }
  },
)

const anyArchitecture = fc
  .record({
    layers: fc.integer({ min: 1, max: 4 }),
    heads: fc.integer({ min: 1, max: 4 }),
    group: fc.integer({ min: 1, max: 3 }),
    headSize: fc.integer({ min: 1, max: 4 }),
    neurons: fc.integer({ min: 1, max: 9 }),
    vocabulary: fc.integer({ min: 1, max: 20 }),
    narrow: fc.boolean(),
    positions: fc.integer({ min: 1, max: 9 }),
    isLlama: fc.boolean(),
    hasBiases: fc.boolean(),
    preNorm: fc.boolean(),
    tied: fc.boolean(),
  })
  .map(({ heads, group, headSize, narrow: isNarrow, isLlama, hasBiases, preNorm, ...rest }): Architecture => {
    const own = isLlama
      ? ({ family: 'llama', keyHeads: heads, biases: hasBiases ? 'query-key-value' : 'none' } as const)
      : ({ preNorm } as const)
    const size = isLlama ? 2 * headSize : headSize
    const width = heads * group * size
    const embeddingWidth = isNarrow && !isLlama ? width + 1 : width
    return architectureOf('any', makeConfig({ ...rest, ...own, heads: heads * group, width, embeddingWidth }))
  })

/** A dense token reads every parameter, but only one row of each table. The output head may be the token table. */
const readsAll = lawForAll(
  'dense is that of every parameter once',
  { model: anyArchitecture },
  (read: typeof weightsRead, { model }) => {
    const { matrix, table, vector } = read(model, keptUnits(model, 0))
    const { embeddingWidth: E, width: D, vocabulary: V, positions, rotary, tied } = model
    const positionRows = rotary ? 0 : positions + 2
    const rows = E + (positionRows > 0 ? D : 0)
    const tables = positionRows * D + (tied ? 0 : V * E)
    expect(matrix + table + vector - rows + tables).toBe(countParameters(model))
  },
)

describe('the cost of tokens', () => {
  stateLaw(readsAll, weightsRead)
  test('mutant: a count that leaves gates out: killed', () =>
    kills(readsAll, (model, kept) => {
      const read = weightsRead(model, kept)
      return model.gated ? { ...read, matrix: read.matrix - kept.neurons * model.width } : read
    }))

  test('equals a count by hand', () => isCountedByHand(tokenCost))

  test('a layer with a window reads and holds its window, not the whole text', () => {
    const sizes = { layers: 2, width: 8, heads: 2, neurons: 4, vocabulary: 9, positions: 4000 } as const
    const settings = { sparsity: 0, storage: 'f32', prompt: 2999, tokens: 1, hidden: 1 } as const
    const [all, one] = [undefined, [512, null]].map((layerWindow) =>
      tokenCost(
        architectureOf('any', makeConfig({ ...sizes, family: 'llama', layerWindow })),
        'dense',
        settings,
      ),
    )
    // Keys and values of 8 float32 a layer.
    expect([all.cache, one.cache]).toEqual([64 * 2 * 3000, 64 * (3000 + 512)])
    expect(all.memory - one.memory).toBe(64 * (3000 - windowRows(512)))
  })
  stateLaw(isTheMeanOfOnes, tokenCost)

  test.each(
    Object.entries<Cost>({
      'takes the last context minus half a token for the mean context': (model, method, settings) => {
        const cost = tokenCost(model, method, settings)
        const cache =
          (cost.cache * (settings.prompt + settings.tokens / 2)) /
          (settings.prompt + (settings.tokens + 1) / 2)
        return { ...cost, cache, bytes: cost.bytes - cost.cache + cache }
      },
      'has no cache of the generated tokens': (model, method, settings) => ({
        ...tokenCost(model, method, settings),
        memory: tokenCost(model, method, { ...settings, tokens: 1 }).memory,
      }),
      'runs the predictor for every token': (model, method, settings) => ({
        ...tokenCost(model, method === 'shadow' ? 'shadow-token' : method, settings),
        method,
      }),
    }),
  )('mutant: a count that %s: killed', async (_, mutant) => {
    expect(() => isCountedByHand(mutant)).toThrow('gated')
    await kills(isTheMeanOfOnes, mutant)
  })

  test('mutant: a count that cuts the mean context to the window: killed', () =>
    kills(isTheMeanOfOnes, (model, method, settings) => {
      const cost = tokenCost(model, method, settings)
      if (!model.layerWindow) return cost
      const { prompt, tokens } = settings
      const context = prompt + (tokens + 1) / 2
      const { layerWindow: _, ...whole } = model
      const { cache: all } = tokenCost(whole, method, settings)
      const seen = model.layerWindow.map((window) => Math.min(context, window ?? context))
      const cache = (all / context) * mean(seen)
      return { ...cost, cache, bytes: cost.bytes - cost.cache + cache }
    }))
})

describe('the rows of the cost experiment', () => {
  test('have counts in billions and ratios of bytes', async () => {
    const { rows, plots, findings } = await costExperiment({ ...int8, models: [gated], bandwidth: 1e6 })
    const bytes = counts[0][2].map((cost) => Number(cost.bytes))
    expect(bytes).toEqual([2464, 2242, 2194, 2117.5])
    expect(rows).toEqual(
      counts[0][2].map((cost, i) => ({
        model: 'gated',
        planner: expect.stringMatching(
          ['dense', 'DejaVu', 'ShadowLLM, per token', 'ShadowLLM, once'][i],
        ) as string,
        ...nearAll({
          memory: Number(cost.memory) / 1e9,
          weights: Number(cost.weights) / 1e9,
          cache: Number(cost.cache) / 1e9,
          predictor: Number(cost.predictor) / 1e9,
          flops: Number(cost.flops) / 1e9,
          share: (100 * Number(cost.predictor)) / bytes[i],
          rate: 1e6 / bytes[i],
          speed: 2464 / bytes[i],
        }),
        saved: i < 2 ? null : near(100 * (1 - bytes[i] / 2242)),
      })),
    )
    // At 0 all is read, and the predictors too; at 50 % what the rows say.
    const at = (x: number): number[] =>
      plots[0].series.map(({ points }) => points.find((point) => point.x === x)?.y ?? NaN)
    expect(at(50)).toEqual([1, 2464 / 2242, 2464 / 2194, 2464 / 2117.5].map(near))
    expect(at(0)).toEqual([1, 2464 / (2464 + 150), 2464 / (2464 + 102), 2464 / (2464 + 25.5)].map(near))
    expect(findings.slice(0, 2)).toEqual([
      'gated has 0.00 billion parameters; a dense token reads 0.00 GB, and decoding is 1.10 times as fast with DejaVu, 1.16 with ShadowLLM asked once.',
      'Asked for every token, ShadowLLM takes 2.1 % less time than DejaVu; asked once per sequence, 5.6 % less.',
    ])
  })

  test('name the models whose predictors cost more than they save', async () => {
    const slower = (hidden: number): Promise<string[]> =>
      costExperiment({ ...int8, hidden, models: [gated, narrow], bandwidth: 1e6 }).then(({ findings }) =>
        findings.filter((one) => one.includes('slower')),
      )
    // Skipping saves 372 bytes of `gated`, where 50 a hidden unit are read, and more than 384 of `narrow`, where 24 are.
    expect(await slower(7)).toEqual([])
    expect(await slower(8)).toEqual([
      'Predictors of every layer asked for every token make gated slower than dense.',
    ])
    expect(await slower(100)).toEqual([
      'Predictors of every layer asked for every token make gated, narrow slower than dense.',
    ])
  })

  test('of predictors are in millions of multiply-adds', async () => {
    const { rows } = await predictorCostExperiment()
    const [first, each] = [2048 * 1024, 1024 * (32 + 8192)]
    const [per, one] = [24 * (first + each), first + 24 * each]
    expect(rows.find(({ model }) => model === 'opt-1.3b')).toEqual({
      model: 'opt-1.3b',
      ...nearAll({
        dejavu: per / 1e6,
        shadow: one / 1e6,
        saved: 100 * (1 - one / per),
        once: one / 128 / 1e6,
      }),
    })
  })
})

describe('the rows of the cluster experiment', () => {
  test('have work, bytes and hours of the named model', async () => {
    // Two operations a weight and token, and two a channel and earlier token, half of them on average; both ways.
    expect(windowFlops(gated, 10)).toBe(2 * 10 * (2 * gatedWhole + 2 * 3 * 4 * 2 * 10))
    // For each layer: the outputs of heads, the features and the context, and the scores of each criterion.
    expect(resultBytes(gated, 6, 2)).toBe(4 * 6 * 3 * (3 * 8 + 2 * (4 + 5)))
    const options = {
      ...defaultCluster,
      windows: 300,
      tokens: 10,
      criteria: 2,
      machines: 3,
      models: [gated, narrow],
      flops: 1e4,
    }
    const { rows } = await clusterExperiment(options)
    for (const [i, model] of [gated, narrow].entries()) {
      const { outcome, seconds } = clusterCost(model, options, 1e4)
      expect(seconds).toBe(windowFlops(model, 10) / 1e4)
      expect(rows[i]).toEqual({
        model: model.name,
        ...nearAll({
          work: (300 * windowFlops(model, 10)) / 1e15,
          memory: (4 * [1104, 1048][i]) / 1e9,
          results: resultBytes(model, 300, 2) / 1e9,
          hours: outcome.makespan / 3600,
          machine: (3 * outcome.makespan) / 3600,
          deaths: outcome.deaths,
          efficiency: 100 * outcome.efficiency,
        }),
      })
    }
  })

  test('simulate jobs of about a minute, after the loading of the weights', () => {
    const model = architectureByName('opt-125m')
    const loading = (4 * countParameters(model)) / 1000
    const one = { ...defaultCluster, machines: 1, loading, deathsPerHour: 0 }
    const at = (seconds: number, more: Partial<ClusterOptions>): ClusterOutcome =>
      clusterCost(model, { ...one, ...more }, windowFlops(model, one.tokens) / seconds).outcome
    // Ten windows of a minute, one a job, each five hundredths longer or shorter; a thousand seconds of loading before.
    const { makespan, deaths, done } = at(60, { windows: 10 })
    expect([deaths, done]).toEqual([0, 10])
    expect(Math.abs(makespan - 1000 - 600)).toBeLessThan(30)
    // Two windows of 25 s are nearest to a minute; a window of two minutes is a job, and so are fewer windows than a minute's.
    expect(at(25, { windows: 7 }).done).toBe(4)
    expect(at(120, { windows: 3 }).done).toBe(3)
    expect(at(1, { windows: 40 }).done).toBe(1)
    // Machines that are cut off bring results that others have brought meanwhile; those that only die do not.
    expect(at(60, { windows: 400, deathsPerHour: 5 }).twice).toBeGreaterThan(0)
  })
})
