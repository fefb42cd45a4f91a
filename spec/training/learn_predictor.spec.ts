/**
 * Laws of predictors that correct learnt scores (src/training/learn_predictor.ts), and of the file of what was learnt.
 *
 * Tests src/training/learning_file.ts.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { contextWidth } from '../../src/engine/config.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { makeBudget } from '../../src/masks/budget.ts'
import type { UnitScores } from '../../src/masks/selection.ts'
import { ShadowPredictor } from '../../src/predictor/shadow.ts'
import { learntPredictor, PredictorLearner, type LearningState } from '../../src/training/learn_predictor.ts'
import { readLearning, saveLearning } from '../../src/training/learning_file.ts'
import type { Window } from '../../src/data/windows.ts'
import { smallCase, withModel, type ModelCase } from '../engine/cases.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const folder = temporaryFolder()

const subject = { backend: new ReferenceBackend(), load: LanguageModel.load }
const small: ModelCase = { ...smallCase, layers: 3, positions: 16 }
const budget = makeBudget(0.5, { scope: 'per-layer' })
const origin = { seed: 0, dataHash: null }

function windowsOf(model: LanguageModel, count: number): Window[] {
  const data = new Data(5)
  return Array.from({ length: count }, (_, i) => ({
    document: `${i}`,
    genre: 'any',
    tokens: data.ids('tokens', 12, model.config.vocabulary),
    promptLength: 6,
    words: 6,
  }))
}

function startOf({ shape }: LanguageModel): UnitScores {
  const data = new Data(6)
  const table = (units: number): Float32Array =>
    Float32Array.from({ length: shape.layers * units }, () => data.uniform())
  return { shape, heads: table(shape.heads), neurons: table(shape.neurons) }
}

/** A state in which the use of neurons follows the features of layer 1, but for some noise. */
function plantedState({ config, shape }: LanguageModel, noise: number, count = 60): LearningState {
  const data = new Data(9)
  const C = contextWidth(config)
  const [L, F] = [shape.layers, shape.neurons]
  const slopes = Array.from({ length: L * F }, () => Float32Array.from({ length: C }, () => data.normal()))
  const observations = Array.from({ length: count }, () => {
    const features = Float32Array.from({ length: L * C }, () => data.normal())
    const usage = Float32Array.from(slopes, (slope) => {
      const along = slope.reduce((sum, by, c) => sum + by * features[C + c], 0)
      return 0.5 + 0.01 * (along + noise * data.normal())
    })
    return { features, usage }
  })
  return {
    scores: startOf({ shape } as LanguageModel),
    squares: new Float32Array(3),
    step: count,
    observations,
  }
}

/** What a predictor says of a prompt whose heads' outputs are the same at every token. */
function predicted(
  model: LanguageModel,
  made: ReturnType<typeof learntPredictor>,
  features: Float32Array,
): UnitScores {
  const predictor = new ShadowPredictor(model.backend, made.config, made.values)
  try {
    return predictor.predict(Float32Array.of(...features, ...features), 2)
  } finally {
    predictor.dispose()
  }
}

test('rank 0 gives the learnt scores for every prompt, from the first ranked layer on', () =>
  withModel(subject, small, (model) => {
    const state = plantedState(model, 0)
    const made = learntPredictor(model, state, budget, { sourceLayer: 1, rank: 0, penalty: 1 }, origin)
    expect(made.config).toMatchObject({ sourceLayer: 1, ranksFrom: 1, pooling: 'mean', features: 'dataset' })
    const C = contextWidth(model.config)
    const { heads, neurons } = predicted(model, made, state.observations[0].features.subarray(C, 2 * C))
    const { heads: H, neurons: F } = model.shape
    expect(heads.subarray(H)).toEqual(state.scores.heads.subarray(H))
    expect(neurons.subarray(F)).toEqual(state.scores.neurons.subarray(F))
    expect([...heads.subarray(0, H), ...neurons.subarray(0, F)].every((score) => score === 0)).toBe(true)
  }))

test('what a prompt changes is added to the scores, nine tenths of it', () =>
  withModel(subject, small, (model) => {
    const state = plantedState(model, 0)
    const C = contextWidth(model.config)
    const F = model.shape.neurons
    const made = learntPredictor(model, state, budget, { sourceLayer: 1, rank: C, penalty: 1e-4 }, origin)
    const usages = state.observations.map(({ usage }) => usage)
    for (const { features, usage } of state.observations.slice(0, 5)) {
      const { heads, neurons } = predicted(model, made, features.subarray(C, 2 * C))
      expect(heads.subarray(model.shape.heads)).toEqual(state.scores.heads.subarray(model.shape.heads))
      for (let j = F; j < 3 * F; j++) {
        const mean = usages.reduce((sum, row) => sum + row[j], 0) / usages.length
        expect(neurons[j] - state.scores.neurons[j]).toBeCloseTo(0.9 * (usage[j] - mean), 3)
      }
    }
  }))

test('how much of the deviation is predicted is told from windows that it was not fitted on', () =>
  withModel(subject, small, (model) => {
    const C = contextWidth(model.config)
    const explained = (noise: number, penalty: number): number | null =>
      learntPredictor(model, plantedState(model, noise), budget, { sourceLayer: 1, rank: C, penalty }, origin)
        .explained
    expect(explained(0, 1e-4)).toBeGreaterThan(0.99)
    expect(explained(1e3, 30)).toBeLessThan(0.1)
    const few = plantedState(model, 0, 9)
    const made = learntPredictor(model, few, budget, { sourceLayer: 1, rank: C, penalty: 1 }, origin)
    expect(made.explained).toBeNull()
  }))

test('each step keeps the features of its prompt and the use of its continuation', () =>
  withModel(subject, small, (model) => {
    const [window] = windowsOf(model, 1)
    const learner = new PredictorLearner(model, startOf(model), budget, { steps: 1 })
    learner.step(window)
    const [{ features, usage }] = learner.state.observations
    const trace = traceForward(model, window.tokens)
    const C = contextWidth(model.config)
    const F = model.shape.neurons
    for (let layer = 0; layer < 3; layer++) {
      const [heads, act] = [trace.headOut(layer), trace.fc1Act(layer)]
      for (let c = 0; c < C; c++) {
        let sum = 0
        for (let t = 0; t < 6; t++) sum += heads[t * C + c]
        expect(features[layer * C + c]).toBeCloseTo(sum / 6, 6)
      }
      const energy = Array.from({ length: F }, (_, j) => {
        let sum = 0
        for (let t = 6; t < 12; t++) {
          const row = act.subarray(t * F, (t + 1) * F)
          const squares = row.reduce((total, z) => total + z * z, 0)
          if (squares > 0) sum += act[t * F + j] ** 2 / squares
        }
        return Math.fround(Math.sqrt(sum))
      })
      energy.forEach((own, j) => {
        const below = energy.filter((other) => other < own).length
        const equal = energy.filter((other) => other === own).length
        expect(usage[layer * F + j]).toBeCloseTo((below + (equal - 1) / 2 + 0.5) / F, 6)
      })
    }
    trace.dispose()
  }))

test('learning goes on from its file with the bits of a run that was never stopped', () =>
  withModel(subject, small, async (model) => {
    const windows = windowsOf(model, 6)
    const options = { steps: 6 }
    const whole = new PredictorLearner(model, startOf(model), budget, options)
    for (const window of windows) whole.step(window)
    const first = new PredictorLearner(model, startOf(model), budget, options)
    for (const window of windows.slice(0, 2)) first.step(window)
    const path = join(folder, 'state.learning')
    await saveLearning(path, model, first.state, { steps: 6 })
    const second = new PredictorLearner(model, await readLearning(path, model, { steps: 6 }), budget, options)
    for (const window of windows.slice(2)) second.step(window)
    expect(second.state).toEqual(whole.state)
    await expect(readLearning(path, model, { steps: 7 })).rejects.toMatchObject({ code: 'RESUME' })
  }))
