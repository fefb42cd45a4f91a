/**
 * The measures of predicted scores: rank correlation by its definition, overlap and score kept between their bounds, and
 * means over examples and layers.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeBudget } from '../../src/masks/budget.ts'
import { selectMask, type UnitScores } from '../../src/masks/selection.ts'
import { averageRanks, QualityMeter, scoreKept, spearman } from '../../src/predictor/metrics.ts'
import { kills, law, lawForAll, stateLaw } from '../harness/seed.ts'
import { rankCorrelation } from './rank_correlation.ts'

const small = fc.integer({ min: -3, max: 3 })
const somePair = fc
  .array(fc.tuple(small, small), { minLength: 1, maxLength: 20 })
  .map((pairs): [Float32Array, Float32Array] => [
    Float32Array.from(pairs, ([a]) => a),
    Float32Array.from(pairs, ([, b]) => b),
  ])

type Correlation = typeof spearman

const isByDefinition = lawForAll(
  "is Pearson's correlation of ranks, ties having their mean rank",
  { pair: somePair },
  (measure: Correlation, { pair: [a, b] }) => expect(measure(a, b)).toBeCloseTo(rankCorrelation(a, b), 10),
)

describe('spearman', () => {
  stateLaw(isByDefinition, spearman)

  law('depends on the order only, and reverses its sign with it', { pair: somePair }, ({ pair: [a, b] }) => {
    const curved = a.map((value) => value ** 3 + 7)
    expect(spearman(curved, b)).toBe(spearman(a, b))
    expect(
      spearman(
        a.map((value) => -value),
        b,
      ),
    ).toBeCloseTo(-spearman(a, b), 10)
    expect(spearman(a, b)).toBe(spearman(b, a))
  })

  test('is 1 for the same order, -1 for the reverse, 0 without an order', () => {
    const order = Float32Array.of(5, 1, 9, 2)
    expect(spearman(order, order)).toBe(1)
    expect(
      spearman(
        order,
        order.map((value) => -value),
      ),
    ).toBe(-1)
    expect(spearman(order, new Float32Array(4))).toBe(0)
    expect(averageRanks(Float32Array.of(4, 7, 4, 1))).toEqual(Float64Array.of(2.5, 4, 2.5, 1))
  })

  test('a mutant that ranks ties by position is killed', () =>
    kills(isByDefinition, (a, b) => {
      const apart = (values: Float32Array): Float32Array => values.map((value, i) => value + i * 1e-3)
      return spearman(apart(a), apart(b))
    }))
})

const shape = { layers: 3, heads: 2, neurons: 6 }
const units = shape.heads + shape.neurons
const someScores = fc
  .array(fc.integer({ min: -9, max: 9 }), { minLength: 3 * units, maxLength: 3 * units })
  .map((values): UnitScores => ({
    shape,
    heads: Float32Array.from(values.slice(0, 6)),
    neurons: Float32Array.from(values.slice(6)),
  }))

describe('a mask', () => {
  law(
    'keeps at most the score of the best mask, which keeps all it can',
    { predicted: someScores, oracle: someScores, sparsity: fc.constantFrom(0, 0.2, 0.5, 0.8) },
    ({ predicted, oracle, sparsity }) => {
      const budget = makeBudget(sparsity, { headFloor: 0 })
      const best = selectMask(oracle, budget).neurons.subarray(6)
      const chosen = selectMask(predicted, budget).neurons.subarray(6)
      const score = oracle.neurons.subarray(6)
      const kept = scoreKept(chosen, best, score)
      expect(kept).toBeGreaterThanOrEqual(0)
      expect(kept).toBeLessThanOrEqual(1)
      expect(scoreKept(best, best, score)).toBe(1)
      // Where scores begin does not matter.
      expect(
        scoreKept(
          chosen,
          best,
          score.map((value) => value + 4),
        ),
      ).toBeCloseTo(kept, 6)
    },
  )

  test('that keeps the wrong unit keeps its share', () => {
    const best = Float32Array.of(0, 1, 1, 0)
    const chosen = Float32Array.of(1, 0, 1, 0)
    expect(scoreKept(chosen, best, Float32Array.of(1, 3, 5, 0))).toBe(6 / 8)
    expect(scoreKept(chosen, best, new Float32Array(4).fill(2))).toBe(1)
  })
})

type Meter = typeof QualityMeter

/** One example and its opposite: the mean of perfect and reversed. */
function averages(meterOf: Meter): void {
  const scores: UnitScores = {
    shape,
    heads: Float32Array.of(7, 7, 1, 2, 3, 4),
    neurons: Float32Array.from({ length: 18 }, (_, unit) => unit),
  }
  const opposite = { ...scores, neurons: scores.neurons.map((value) => -value) }
  const meter = new meterOf([makeBudget(0.5), makeBudget(0)], 1)
  meter.add(scores, scores)
  expect(meter.read().neurons).toMatchObject({ spearman: 1, spearmanWithin: 1 })
  meter.add(opposite, scores)
  const { heads, neurons } = meter.read()
  expect(neurons.spearman).toBeCloseTo(0, 10)
  expect(neurons.spearmanWithin).toBeCloseTo(0, 10)
  // At half the units, perfect and disjoint; at all of them, the same.
  expect(neurons.at).toEqual([
    { recall: 0.5, precision: 0.5, jaccard: 0.5, scoreKept: expect.closeTo((1 + 15 / 51) / 2, 10) },
    { recall: 1, precision: 1, jaccard: 1, scoreKept: 1 },
  ])
  expect(heads).toMatchObject({ spearman: 1, spearmanWithin: 1, at: [{ jaccard: 1 }, { jaccard: 1 }] })
}

describe('a meter', () => {
  test('gives means over examples for each budget, without dense layers', () => averages(QualityMeter))

  test('distinguishes layers: a wrong order within layers is found', () => {
    // Layer 2 is above layer 1 in both; within each layer the order is reversed.
    const oracle: UnitScores = {
      shape,
      heads: new Float32Array(6),
      neurons: Float32Array.from({ length: 18 }, (_, unit) => unit),
    }
    const neurons = oracle.neurons.map((_, unit) => 6 * Math.floor(unit / 6) + 5 - (unit % 6))
    const meter = new QualityMeter([], 1)
    meter.add({ ...oracle, neurons }, oracle)
    expect(meter.read().neurons.spearmanWithin).toBeCloseTo(-1, 10)
    expect(meter.read().neurons.spearman).toBeGreaterThan(0.5)
  })

  test('a mutant that counts dense layers is killed', () => {
    class Mutant extends QualityMeter {
      constructor(...[budgets]: ConstructorParameters<Meter>) {
        super(budgets, 0)
      }
    }
    expect(() => averages(Mutant)).toThrow()
  })
})
