/**
 * A planner gets the last predictor of its kind, and a predictor for a model of another shape is refused.
 */
import { expect, test } from 'vitest'
import { makeConfig } from '../../src/engine/config.ts'
import type { Predictor } from '../../src/predictor/predictor_file.ts'
import { kindsNeeded } from '../../src/planners/index.ts'
import { checkPredictor, predictorFor } from '../../src/predictor/suitable.ts'

test('planners need predictors of their own kinds, each once, and others none', () => {
  expect(kindsNeeded(['dejavu', 'oracle', 'shadow', 'dejavu'])).toEqual(['shadow', 'dejavu'])
  expect(kindsNeeded(['oracle', 'griffin'])).toEqual([])
})

test('a planner gets the last predictor of its kind', () => {
  const predictors = ['shadow', 'dejavu', 'shadow'].map((kind) => ({ kind }) as Predictor)
  expect(predictorFor('shadow', predictors)).toBe(predictors[2])
  expect(predictorFor('dejavu', predictors)).toBe(predictors[1])
  expect(predictorFor('dejavu-style', predictors)).toBeUndefined()
  expect(predictorFor('oracle', predictors)).toBeUndefined()
})

test('a predictor for another number of layers, heads or neurons, or for another width, is refused by name', () => {
  const model = makeConfig({
    layers: 3,
    width: 8,
    heads: 2,
    headSize: 4,
    neurons: 16,
    vocabulary: 40,
    positions: 24,
  })
  const { layers, heads, neurons, width } = model
  const shape = { layers, heads, neurons }
  expect(() => checkPredictor({ config: { shape, width } }, model, 'p')).not.toThrow()
  const others = [
    { shape: { ...shape, layers: 4 }, width },
    { shape: { ...shape, heads: 4 }, width },
    { shape: { ...shape, neurons: 15 }, width },
    { shape, width: 9 },
    { shape, width, contextWidth: 4 },
  ]
  for (const config of others)
    expect(() => checkPredictor({ config }, model, 'p')).toThrow(
      /^p: expected a predictor for this model, of 3 layers of 2 heads and 16 neurons, width 8, got one for another, of /,
    )
})
