/**
 * What predictors see and what they are asked for: features scaled, prompts pooled, scores turned into targets.
 *
 * Tests src/predictor/targets.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PredictorKind } from '../../src/predictor/predictor_config.ts'
import { featureMoments, lastTokenContext, meanContext, scaleFeatures } from '../../src/predictor/features.ts'
import {
  makePredictorConfig,
  DEFAULT_SHARES,
  type PredictorChoices,
} from '../../src/predictor/make_predictor_config.ts'
import { makeLabels, targetsOf } from '../../src/predictor/targets.ts'
import { Random } from '../../src/tensor/random.ts'
import { kills, law, lawForAll, stateLaw } from '../harness/seed.ts'
import { unitKinds } from '../../src/masks/mask.ts'

const someTable = fc
  .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 2, max: 9 }), fc.nat())
  .map(([columns, rows, seed]) => {
    const draw = new Random(seed)
    const shifts = Array.from({ length: columns }, () => 5 * draw.normal())
    const data = Array.from({ length: rows }, () =>
      Float32Array.from({ length: columns }, (_, d) => shifts[d] + draw.normal()),
    )
    return { columns, data }
  })

describe('features', () => {
  type Scaling = typeof scaleFeatures

  const isStandard = lawForAll(
    'scaled by the moments of a set have mean 0 and variance 1 over it, feature by feature',
    { table: someTable },
    (scale: Scaling, { table: { columns, data } }): void => {
      const moments = featureMoments(data, columns)
      const scaled = data.map((row) => scale(row, 'dataset', moments))
      for (let d = 0; d < columns; d++) {
        const column = scaled.map((row) => row[d])
        const mean = column.reduce((sum, value) => sum + value, 0) / column.length
        const square = column.reduce((sum, value) => sum + value ** 2, 0) / column.length
        expect(mean).toBeCloseTo(0, 3)
        expect(square).toBeCloseTo(1, 3)
      }
    },
  )
  stateLaw(isStandard, scaleFeatures)

  test('a mutant that scales each feature alone is killed', () =>
    kills(isStandard, (row) => scaleFeatures(row, 'standard')))

  law('are scaled row by row, many rows at once', { table: someTable }, ({ table: { columns, data } }) => {
    const moments = featureMoments(data, columns)
    const whole = Float32Array.from(data.flatMap((row) => [...row]))
    for (const scaling of ['min_max', 'standard', 'dataset', 'none'] as const) {
      const apart = data.flatMap((row) => [...scaleFeatures(row, scaling, moments)])
      expect([...scaleFeatures(whole, scaling, moments, data.length)]).toEqual(apart)
    }
  })

  test('that are constant are scaled to 0, and required moments must be present', () => {
    const moments = featureMoments([Float32Array.of(2, 1), Float32Array.of(2, 3)], 2)
    expect(scaleFeatures(Float32Array.of(9, 3), 'dataset', moments)).toEqual(Float32Array.of(0, 1))
    expect(() => scaleFeatures(Float32Array.of(9, 3), 'dataset')).toThrow('moments: expected mean and spread')
  })

  test('of a prompt: its last row, or the mean of its rows', () => {
    const prompt = Float32Array.of(1, 2, 3, 6)
    expect(lastTokenContext(prompt, 2)).toEqual(Float32Array.of(3, 6))
    expect(meanContext(prompt, 2)).toEqual(Float32Array.of(2, 4))
  })
})

describe('targets', () => {
  const scores = {
    shape: { layers: 3, heads: 2, neurons: 4 },
    heads: Float32Array.of(9, 9, 1, 3, 0, 8),
    neurons: Float32Array.of(9, 9, 9, 9, 1, 4, 3, 2, 8, 8, 6, 7),
  }
  const asked = (kind: PredictorKind, chosen: PredictorChoices): number[][] => {
    const config = makePredictorConfig(
      kind,
      { shape: scores.shape, width: 6, criterion: 'plainact', seed: 0, examples: 2, dataHash: null },
      chosen,
    )
    return unitKinds.map((units) => [...targetsOf(config, scores, units)])
  }

  test('are scores of layers 1 to L - 1: raw, each layer or all layers to [0, 1], ranks or roots', () => {
    expect(asked('shadow', { targets: 'raw' })[0]).toEqual([1, 3, 0, 8])
    expect(asked('shadow', { targets: 'per_layer' })[0]).toEqual([0, 1, 0, 1])
    expect(asked('shadow', { targets: 'global' })[0]).toEqual([1 / 8, 3 / 8, 0, 1])
    const ranks = [1, 2, 0, 3].map((place) => Math.fround(place / 3))
    expect(asked('shadow', { targets: 'rank' })[0]).toEqual(ranks)
    const roots = [1, 3, 0, 8].map((score) => Math.fround(Math.sqrt(score / 3)))
    expect(asked('shadow', { targets: 'root' })[0]).toEqual(roots)
    expect(asked('dejavu-style', {})[0]).toEqual([0, 1, 0, 1])
    expect(asked('shadow', { targets: 'raw', sourceLayer: 1 })[0]).toEqual([0, 8])
  })

  test('are labels: the best of the model for ShadowLLM, of each layer for DejaVu', () => {
    const chosen = { top: [0.5] }
    expect(asked('shadow', { loss: 'bce', ...chosen })[1]).toEqual([0, 0, 0, 0, 1, 1, 1, 1])
    expect(asked('dejavu', chosen)[1]).toEqual([0, 1, 1, 0, 1, 1, 0, 0])
  })

  const distinct = fc.uniqueArray(fc.integer({ min: -99, max: 99 }), { minLength: 1, maxLength: 30 })

  const countBudgets = lawForAll(
    'averaged over budgets count the budgets that keep a unit',
    { values: distinct },
    (label: typeof makeLabels, { values }): void => {
      const table = Float32Array.from(values)
      const labels = label(table, table.length, DEFAULT_SHARES)
      labels.forEach((label, i) => {
        const above = values.filter((value) => value > values[i]).length
        const kept = DEFAULT_SHARES.filter((share) => above < Math.round(share * values.length)).length
        expect(label).toBeCloseTo(kept / DEFAULT_SHARES.length, 6)
      })
    },
  )
  stateLaw(countBudgets, makeLabels)

  test('a mutant that labels the worst units is killed', () =>
    kills(countBudgets, (scores, group, shares) =>
      makeLabels(
        scores.map((score) => -score),
        group,
        shares,
      ),
    ))
})
