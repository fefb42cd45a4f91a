/**
 * Training predictors from calibration examples: the same bits on every backend, refusals, and freed memory.
 * predictor_by_hand.spec.ts compares the numbers with a computation by hand.
 *
 * Tests src/training/split.ts.
 */
import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import type { UnitScores } from '../../src/masks/selection.ts'
import type { PredictorKind } from '../../src/predictor/predictor_config.ts'
import type { CalibrationExample, PromptFeatures } from '../../src/predictor/example.ts'
import { makePredictorConfig, type PredictorChoices } from '../../src/predictor/make_predictor_config.ts'
import { predictorTensors } from '../../src/predictor/predictor_file.ts'
import { Random } from '../../src/tensor/random.ts'
import { contestants, judgePredictor } from '../../src/training/judge_predictor.ts'
import { splitExamples } from '../../src/training/split.ts'
import {
  trainPredictor,
  type PredictorTraining,
  type TrainingProgress,
} from '../../src/training/train_predictor.ts'
import { strictNames } from '../harness/strict.ts'

const shape = { layers: 3, heads: 2, neurons: 4 }
const width = 4
const options = { epochs: 60, batch: 8, rate: 2e-2, decay: 0, heldOut: 0.2, patience: 60 } as const

/** Which numbers of an example its scores follow: [D] for each layer. */
type Source = (features: PromptFeatures, layer: number) => Float32Array

const row = (table: Float32Array, layer: number): Float32Array =>
  table.subarray(layer * width, (layer + 1) * width)

/** Each kind, with what it sees of a layer's example. */
const kinds: [PredictorKind, PredictorChoices, Source][] = [
  ['shadow', {}, ({ last }) => row(last, 0)],
  ['shadow', { sourceLayer: 1, pooling: 'mean', features: 'dataset' }, ({ mean }) => row(mean, 1)],
  ['dejavu-style', { features: 'dataset', targets: 'raw' }, ({ last }, layer) => row(last, layer)],
  ['dejavu', {}, ({ stream }, layer) => row(stream, layer - 1)],
]

function makeExamples(count: number, source: Source, seed = 1): CalibrationExample[] {
  const random = new Random(seed)
  const table = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal())
  return Array.from({ length: count }, (_, index) => {
    const features = {
      last: table(3 * width),
      mean: table(3 * width),
      stream: table(3 * width),
      sequence: table(2 * width),
    }
    const scoresOf = (units: number): Float32Array =>
      Float32Array.from({ length: 3 * units }, (_, i) => {
        const layer = Math.floor(i / units)
        // A unit's score is one of the numbers seen: most of the order is another in every example.
        return layer === 0 ? 9 : source(features, layer)[i % units] + (i % 3) / 4
      })
    const scores: UnitScores = { shape, heads: scoresOf(2), neurons: scoresOf(4) }
    return { index, features, scores: new Map([['plainact', scores]]), loss: 1 }
  })
}

function train(
  backend: Backend,
  kind: PredictorKind,
  choices: PredictorChoices,
  examples: readonly CalibrationExample[],
  more: Partial<PredictorTraining> = {},
): ReturnType<typeof trainPredictor> {
  const subject = { shape, width, criterion: 'plainact', seed: 4, examples: examples.length, dataHash: null }
  const config = makePredictorConfig(kind, subject, { headHidden: 12, neuronHidden: 12, ...choices })
  return trainPredictor(backend, config, examples, { ...options, ...more })
}

describe.each(kinds)('%s %o', (kind, choices, source) => {
  test('the same bits on every strict backend, and progress network by network', async () => {
    const examples = makeExamples(12, source)
    const files: unknown[] = []
    for (const name of strictNames) {
      const backend = await createBackend(name)
      const progress: TrainingProgress[] = []
      const onEpoch = (one: TrainingProgress): void => void progress.push(one)
      const { predictor } = await train(backend, kind, choices, examples, { epochs: 3, onEpoch })
      files.push([...predictorTensors(predictor)].map(([tensor, { data }]) => [tensor, data]))
      const networks = kind === 'shadow' ? 2 : 4
      expect(progress.map(({ network, epoch }) => [network, epoch])).toEqual(
        Array.from({ length: 3 * networks }, (_, i) => [Math.floor(i / 3), (i % 3) + 1]),
      )
      expect(progress.every((one) => one.networks === networks)).toBe(true)
      predictor.dispose()
      expect(backend.liveBuffers).toBe(0)
      backend.dispose()
    }
    for (const file of files) expect(file).toEqual(files[0])
  })
})

describe('a training', () => {
  test('over whole prompts needs examples with whole prompts', async () => {
    const backend = await createBackend('reference')
    const choices: PredictorChoices = { pooling: 'attention', features: 'dataset' }
    const examples = makeExamples(4, ({ last }) => row(last, 0))
    const without = examples.map((one) => ({ ...one, features: { ...one.features, sequence: null } }))
    await expect(train(backend, 'shadow', choices, without)).rejects.toThrow('got examples without it')
    expect(backend.liveBuffers).toBe(0)
    backend.dispose()
  })

  test('that learns nothing equals the constant in every measure', async () => {
    const backend = await createBackend('reference')
    const source: Source = ({ last }) => row(last, 0)
    const examples = makeExamples(10, source)
    const { predictor } = await train(backend, 'shadow', {}, examples, { epochs: 0, heldOut: 0 })
    const judge = { sparsities: [0.5], scope: 'global' } as const
    const { qualities } = judgePredictor(predictor, examples, makeExamples(5, source, 3), judge)
    expect(qualities.predictor).toEqual(qualities['mean-target'])
    expect(contestants).toEqual(Object.keys(qualities))
    predictor.dispose()
    backend.dispose()
  })

  test('stops when it is told to, and frees its memory', async () => {
    const backend = await createBackend('reference')
    for (const [kind, choices, source] of kinds) {
      const interrupt = new AbortController()
      const onEpoch = (): void => interrupt.abort()
      const more = { signal: interrupt.signal, onEpoch }
      await expect(train(backend, kind, choices, makeExamples(6, source), more)).rejects.toThrow(/abort/)
      expect(backend.liveBuffers).toBe(0)
    }
  })

  test('needs two examples, and the scores of its criterion', async () => {
    const backend = await createBackend('reference')
    for (const [kind, choices, source] of kinds) {
      await expect(train(backend, kind, choices, makeExamples(1, source))).rejects.toThrow(
        'examples: expected at least 2, got 1',
      )
      const others = makeExamples(3, source).map((one) => ({
        ...one,
        scores: new Map([['fisher', one.scores.get('plainact') as UnitScores]]),
      }))
      await expect(train(backend, kind, choices, others)).rejects.toThrow(
        'example 0: expected scores of plainact, got fisher',
      )
    }
  })
})

describe('held-out examples', () => {
  const examples = Array.from({ length: 20 }, (_, i) => i)

  test('and training examples are all examples, in order, chosen by the seed', () => {
    const { trained, heldOut } = splitExamples(examples, 0.25, 3)
    expect([...trained, ...heldOut].toSorted((a, b) => a - b)).toEqual(examples)
    expect(heldOut).toHaveLength(5)
    expect(heldOut).toEqual(heldOut.toSorted((a, b) => a - b))
    expect(splitExamples(examples, 0.25, 3).heldOut).toEqual(heldOut)
    expect(splitExamples(examples, 0.25, 4).heldOut).not.toEqual(heldOut)
  })

  test('leave at least two training examples', () => {
    expect(splitExamples(examples, 0.9, 1).trained).toHaveLength(2)
    expect(() => splitExamples(examples, 0.95, 1)).toThrow('expected at least 2 to train on, got 1 of 20')
    expect(splitExamples(examples, 0.02, 1).heldOut).toHaveLength(0)
    expect(splitExamples(examples, 0.03, 1).heldOut).toHaveLength(1)
  })
})
