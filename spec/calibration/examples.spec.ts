/**
 * What an example of a calibration shows, and how examples are added up.
 *
 * Tests src/calibration/aggregate.ts.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { criteria } from '../../src/criteria/index.ts'
import { ScoreAggregate } from '../../src/calibration/aggregate.ts'
import { aggregations, type Aggregation } from '../../src/results/method.ts'
import { collectExample, exampleSeed, takeWindows } from '../../src/calibration/examples.ts'
import { continuationLabels, type Window } from '../../src/data/windows.ts'
import type { UnitScores } from '../../src/masks/selection.ts'
import { backward } from '../../src/engine/backward.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { kills, killsByLaw, law, lawForAll, stateLaw } from '../harness/seed.ts'
import { makeSmallModel, makeWindows, smallConfig } from './small_calibration.ts'

let backend: Backend
let model: LanguageModel
beforeAll(async () => {
  backend = await createBackend('reference')
  model = await makeSmallModel(backend)
})
afterAll(() => {
  model.dispose()
  expect(backend.liveBuffers).toBe(0)
})

describe('an example', () => {
  const { width: D, layers: L } = smallConfig
  type Collect = typeof collectExample

  /** Everything a predictor may see is what the prompt shows when there is nothing after it. */
  const seesThePrompt = lawForAll(
    'holds what the prompt alone shows, bit for bit',
    { seed: fc.nat() },
    (collect: Collect, { seed }) => {
      const [window] = makeWindows(1, seed)
      const { promptLength: T } = window
      const { features } = collect(model, window, [], { keepSequence: true })
      const alone = traceForward(model, window.tokens.slice(0, T))
      try {
        for (let layer = 0; layer < L; layer++) {
          const heads = alone.headOut(layer) // [T, D]
          const row = (of: Float32Array): Float32Array => of.slice(layer * D, (layer + 1) * D)
          expect(row(features.last)).toEqual(heads.slice((T - 1) * D))
          expect(row(features.stream)).toEqual(alone.hidden(layer).slice((T - 1) * D))
          row(features.mean).forEach((mean, d) => {
            let sum = 0
            for (let t = 0; t < T; t++) sum += heads[t * D + d]
            expect(mean).toBe(Math.fround(sum / T))
          })
        }
        expect(features.sequence).toEqual(alone.headOut(0))
      } finally {
        alone.dispose()
      }
    },
    { runs: 30 },
  )
  stateLaw(seesThePrompt, collectExample)

  test('mutants are killed: features of the answer, of the wrong token, of the layer before', async () => {
    const moved =
      (change: (window: Window) => Window): Collect =>
      (of, window, ...rest) =>
        collectExample(of, change(window), ...rest)
    const shifted: Collect = (...args) => {
      const example = collectExample(...args)
      const { stream } = example.features
      const before = new Float32Array(stream.length)
      before.set(stream.subarray(0, stream.length - D), D)
      return { ...example, features: { ...example.features, stream: before } }
    }
    for (const mutant of [
      moved((window) => ({ ...window, promptLength: window.tokens.length - 1 })),
      moved((window) => ({ ...window, promptLength: Math.max(1, window.promptLength - 1) })),
      shifted,
    ])
      await kills(seesThePrompt, mutant)
  })

  test('has the loss of its continuation and the scores of each criterion, as if each were alone', () => {
    const windows = makeWindows(3)
    for (const [index, window] of windows.entries()) {
      const labels = continuationLabels(window)
      const example = collectExample(model, window, criteria, { index, seed: 5 })
      const trace = traceForward(model, window.tokens)
      const gradients = backward(model, trace, labels)
      const input = { model, tokens: window.tokens, labels, trace, gradients, seed: exampleSeed(5, index) }
      expect([example.index, example.group, example.loss]).toEqual([index, window.genre, gradients.loss])
      expect([...example.scores.keys()]).toEqual(criteria.map(({ name }) => name))
      for (const criterion of criteria)
        expect(example.scores.get(criterion.name)).toEqual(criterion.score(input))
      expect(example.features.sequence).toBeNull()
      gradients.dispose()
      trace.dispose()
    }
  })

  test('draws random numbers from its index and the seed only', () => {
    const seeds = new Set<number>()
    for (let seed = 0; seed < 20; seed++)
      for (let index = 0; index < 50; index++) seeds.add(exampleSeed(seed, index))
    expect(seeds.size).toBe(1000)
    expect(exampleSeed(3, 7)).toBe(exampleSeed(3, 7))
  })

  test('comes from a source that may have fewer than requested', async () => {
    const windows = makeWindows(4)
    async function* later(): AsyncGenerator<Window> {
      yield* windows
    }
    expect(await takeWindows({ name: 'pages', windows: later() }, 3)).toEqual(windows.slice(0, 3))
    expect(await takeWindows({ name: 'pages', windows }, 9)).toEqual(windows)
    await expect(takeWindows({ name: 'pages', windows: [] }, 1)).rejects.toMatchObject({ code: 'WINDOWS' })
    await expect(takeWindows({ name: 'pages', windows }, 0)).rejects.toMatchObject({ code: 'WINDOWS' })
  })
})

interface Scored {
  readonly scores: UnitScores
  readonly group: string
}
type Aggregate = (examples: readonly Scored[], how: Aggregation) => UnitScores

const aggregateScores: Aggregate = (examples, how) => {
  const sum = new ScoreAggregate(how)
  for (const { scores, group } of examples) sum.add(scores, group)
  return sum.finish()
}

const shape = { layers: 3, heads: 2, neurons: 3 }
const someTable = (units: number): fc.Arbitrary<Float32Array> =>
  fc
    .array(fc.integer({ min: -50, max: 50 }), {
      minLength: shape.layers * units,
      maxLength: shape.layers * units,
    })
    .map((values) => Float32Array.from(values, (value) => value / 4))
const someScored: fc.Arbitrary<Scored> = fc
  .tuple(someTable(shape.heads), someTable(shape.neurons), fc.constantFrom('a', 'b', 'c'))
  .map(([heads, neurons, group]) => ({ scores: { shape, heads, neurons }, group }))
const someExamples = fc.array(someScored, { minLength: 1, maxLength: 6 })

/** Examples with each table of scores changed. */
function changed(
  examples: readonly Scored[],
  change: (values: Float32Array, example: number) => Float32Array,
): Scored[] {
  return examples.map(({ scores, group }, i) => ({
    group,
    scores: { shape, heads: change(scores.heads, i), neurons: change(scores.neurons, i) },
  }))
}

/** Numbers that are near each other: sums in other orders. */
function expectClose(a: UnitScores, b: UnitScores): void {
  for (const kind of ['heads', 'neurons'] as const)
    a[kind].forEach((value, i) => expect(value).toBeCloseTo(b[kind][i], 4))
}

/** Written out: for every unit, over examples or over groups. */
const isItsDefinition = lawForAll(
  'mean and sum are their definitions',
  { examples: someExamples },
  (aggregate: Aggregate, { examples }) => {
    const groups = [...new Set(examples.map(({ group }) => group))]
    const sum = (of: readonly Scored[], i: number): number =>
      of.reduce((total, { scores }) => total + scores.neurons[i], 0)
    const mean = aggregate(examples, 'mean').neurons
    const released = aggregate(examples, 'sum').neurons
    for (let i = 0; i < mean.length; i++) {
      expect(mean[i]).toBeCloseTo(sum(examples, i) / examples.length, 4)
      const perGroup = groups.map((name) =>
        sum(
          examples.filter(({ group }) => group === name),
          i,
        ),
      )
      expect(released[i]).toBeCloseTo(perGroup.reduce((total, value) => total + value, 0) / groups.length, 3)
    }
  },
)

/** However an example's scores are stretched, its order is all that counts; and ranks are shared out completely. */
const countsOrderOnly = lawForAll(
  'rank depends on the order within an example only',
  { examples: someExamples },
  (aggregate: Aggregate, { examples }) => {
    const ranked = aggregate(examples, 'rank')
    const stretched = changed(examples, (values, i) => values.map((value) => value ** 3 * (i + 1) + i * 100))
    expectClose(aggregate(stretched, 'rank'), ranked)
    for (const kind of ['heads', 'neurons'] as const) {
      const n = ranked[kind].length
      expect(ranked[kind].reduce((total, rank) => total + rank, 0)).toBeCloseTo((n * (n - 1)) / 2, 3)
    }
    const [{ scores }] = examples
    const own = aggregate([examples[0]], 'rank').neurons
    scores.neurons.forEach((a, i) =>
      scores.neurons.forEach((b, j) => expect(Math.sign(own[i] - own[j])).toBe(Math.sign(a - b))),
    )
  },
)

/** However each layer of each example is scaled and moved, its shape within the layer is all that counts. */
const forgetsTheScaleOfLayers = lawForAll(
  'per-layer scales each layer separately',
  { examples: someExamples },
  (aggregate: Aggregate, { examples }) => {
    const scaled = changed(examples, (values, i) =>
      values.map((value, u) => {
        const layer = Math.floor((u * shape.layers) / values.length)
        return value * 2 ** (layer + i - 1) + 8 * layer
      }),
    )
    const plain = aggregate(examples, 'per-layer')
    expectClose(aggregate(scaled, 'per-layer'), plain)
    for (const kind of ['heads', 'neurons'] as const) {
      expect(Math.min(...plain[kind])).toBeGreaterThanOrEqual(0)
      expect(Math.max(...plain[kind])).toBeLessThanOrEqual(1)
    }
    const [first] = examples
    const own = aggregate([first], 'per-layer').heads
    for (let layer = 0; layer < shape.layers; layer++) {
      const row = first.scores.heads.slice(layer * shape.heads, (layer + 1) * shape.heads)
      const most = Math.max(...own.slice(layer * shape.heads, (layer + 1) * shape.heads))
      expect(most).toBe(Math.max(...row) > Math.min(...row) ? 1 : 0)
    }
  },
)

describe('aggregation over examples', () => {
  const laws = { isItsDefinition, countsOrderOnly, forgetsTheScaleOfLayers }
  for (const law of Object.values(laws)) stateLaw(law, aggregateScores)

  law(
    'takes examples one by one, in any order',
    { examples: someExamples, how: fc.constantFrom(...aggregations) },
    ({ examples, how }) => {
      const sum = new ScoreAggregate(how)
      for (const { scores, group } of examples.toReversed()) sum.add(scores, group)
      expectClose(sum.finish(), aggregateScores(examples, how))
    },
  )

  killsByLaw<keyof typeof laws, Aggregate>(laws, {
    isItsDefinition: {
      'sum over everything': (examples, how) =>
        aggregateScores(
          changed(examples, (v) => v),
          how === 'sum' ? 'mean' : how,
        ),
      'the last example forgotten': (examples, how) =>
        aggregateScores(examples.slice(0, Math.max(1, examples.length - 1)), how),
    },
    countsOrderOnly: {
      'scores in place of ranks': (examples) => aggregateScores(examples, 'mean'),
      'ranks from above': (examples, how) =>
        aggregateScores(
          changed(examples, (v) => v.map((x) => -x)),
          how,
        ),
      'ties to the lower index': (examples, how) =>
        aggregateScores(
          changed(examples, (v) => v.map((x, i) => x - i / 1e4)),
          how,
        ),
    },
    forgetsTheScaleOfLayers: {
      'scaled over the model': (examples, how) =>
        aggregateScores(
          changed(examples, (v) => {
            const [least, most] = [Math.min(...v), Math.max(...v)]
            return v.map((x) => (x - least) / (most - least || 1))
          }),
          how === 'per-layer' ? 'mean' : how,
        ),
      'scaled after adding': (examples) =>
        aggregateScores([{ scores: aggregateScores(examples, 'mean'), group: '' }], 'per-layer'),
    },
  })

  test('NaN ranks below every number, and no example gives no ranking', () => {
    const scores = {
      shape: { layers: 1, heads: 3, neurons: 1 },
      heads: Float32Array.of(1, NaN, -5),
      neurons: new Float32Array(1),
    }
    expect([...aggregateScores([{ scores, group: '' }], 'rank').heads]).toEqual([2, 0, 1])
    expect(() => aggregateScores([], 'mean')).toThrow(expect.objectContaining({ code: 'EXAMPLES' }) as Error)
    expect(() => aggregateScores([], 'median' as Aggregation)).toThrow(
      expect.objectContaining({ code: 'AGGREGATION' }) as Error,
    )
  })
})
