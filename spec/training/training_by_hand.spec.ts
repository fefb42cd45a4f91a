/**
 * The training of the networks of predictors equals a computation by hand, bit for bit: every weight, every reported loss and
 * the kept epoch, over sizes on both sides of every boundary.
 *
 * Tests src/predictor/attention_pool.ts, src/predictor/network.ts and src/training/network_trainer.ts.
 */
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { networkForms } from '../../src/predictor/network.ts'
import type { NetworkShape } from '../../src/predictor/network.ts'
import { Random } from '../../src/tensor/random.ts'
import type { Loss, NetworkTrainer, TrainingSet } from '../../src/training/network_trainer.ts'
import { trainNetwork, type EpochReport, type NetworkOptions } from '../../src/training/predictor_training.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { kills, law, lawForAll, stateLaw } from '../harness/seed.ts'
import { engineLearner, plainLearner, trainByHand, type MakeLearner } from './training_by_hand.ts'

interface Training {
  readonly shape: NetworkShape
  readonly set: TrainingSet
  readonly seed: number
  readonly options: NetworkOptions
}

const someLoss = fc.constantFrom<Loss>(
  { name: 'mse' },
  { name: 'mse' },
  { name: 'bce', negativeWeight: 1 },
  { name: 'bce', negativeWeight: 0.25 },
)

/** Batches that divide the training part or do not, of one example or larger than it; no or nearly all examples held out. */
const someTraining: fc.Arbitrary<Training> = fc
  .record({
    shape: fc.record({
      inputs: fc.integer({ min: 1, max: 18 }),
      hidden: fc.integer({ min: 1, max: 5 }),
      outputs: fc.integer({ min: 0, max: 5 }),
      form: fc.constantFrom(...networkForms),
      pools: fc.constant(false),
    }),
    examples: fc.integer({ min: 1, max: 13 }),
    seed: fc.nat(),
    epochs: fc.integer({ min: 0, max: 5 }),
    batch: fc.integer({ min: 1, max: 15 }),
    rate: fc.constantFrom(1e-3, 0.02, 0.3),
    decay: fc.constantFrom(0, 0.01, 0.3),
    heldOut: fc.constantFrom(0, 0.1, 0.25, 0.5, 0.99),
    patience: fc.constantFrom(0, 1, 2, Infinity),
    spread: fc.constantFrom('all', 'unit', undefined),
    loss: someLoss,
    still: fc.boolean(),
  })
  .map(({ shape, examples, seed, still, ...options }) => {
    const random = new Random(seed)
    const row = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal())
    const labels = (length: number): Float32Array =>
      Float32Array.from({ length }, () => [0, 1, 0.25][random.below(3)])
    const targets = Array.from({ length: examples }, () =>
      options.loss.name === 'mse' ? row(shape.outputs) : labels(shape.outputs),
    )
    // A constant output: its deviation is 0 and its labels are equal.
    if (still && shape.outputs > 0) for (const target of targets) target[0] = 1
    const rows = targets.map(() => row(shape.inputs))
    return { shape, seed, options, set: { rows, targets } }
  })

/** Prompts of one to four tokens. */
const someOverPrompts = someTraining.map(({ shape, set, seed, options }): Training => {
  const random = new Random(seed + 1)
  const inputs = Math.min(4, shape.inputs)
  const prompt = (): Float32Array =>
    Float32Array.from({ length: inputs * (1 + random.below(4)) }, () => random.normal())
  return {
    shape: { ...shape, inputs, pools: true },
    set: { ...set, rows: set.rows.map(prompt) },
    seed,
    options,
  }
})

type Train = typeof trainNetwork

async function compare(
  backend: Backend,
  { shape, set, seed, options }: Training,
  makeLearner: MakeLearner,
  train: Train = trainNetwork,
): Promise<void> {
  const reports: EpochReport[] = []
  const onEpoch = (report: EpochReport): void => void reports.push(report)
  const { values, heldOut } = await train(backend, shape, set, seed, { ...options, onEpoch })
  const expected = trainByHand(shape, set, seed, options, makeLearner)
  expect(reports).toEqual(expected.reports)
  expect(heldOut).toBe(expected.heldOut)
  expect(Object.keys(values).sort()).toEqual(Object.keys(expected.values).sort())
  for (const [name, table] of Object.entries(expected.values))
    sameBits(name, values[name as keyof typeof values] ?? [], table)
}

interface Judged {
  readonly backend: Backend
  readonly train: Train
}

const isByHand = lawForAll(
  'gives the weights, the losses and the kept epoch of the computation by hand, bit for bit',
  { training: someTraining },
  ({ backend, train }: Judged, { training }) => compare(backend, training, plainLearner, train),
)

describe.each(['reference', 'wasm'] as const)('training a network on %s', async (name) => {
  const backend = await createBackend(name)
  afterAll(() => backend.dispose())

  stateLaw(isByHand, { backend, train: trainNetwork })

  law(
    'over whole prompts splits, batches, measures and stops as the computation by hand',
    { training: someOverPrompts },
    async ({ training }) => {
      const trainers: NetworkTrainer[] = []
      await compare(backend, training, engineLearner(backend, trainers))
      for (const trainer of trainers) trainer.dispose()
      expect(backend.liveBuffers).toBe(0)
    },
    { runs: 20 },
  )
})

/** A training with one changed input. */
const misled =
  (change: (options: NetworkOptions, set: TrainingSet) => Partial<NetworkOptions>): Train =>
  (backend, shape, set, seed, options) =>
    trainNetwork(backend, shape, set, seed, { ...options, ...change(options, set) })

describe('a training', () => {
  test.each(
    Object.entries<Train>({
      'in larger batches': misled(({ batch }) => ({ batch: batch + 1 })),
      'of one more epoch': misled(({ epochs }) => ({ epochs: epochs + 1 })),
      'with more patience': misled(({ patience }) => ({ patience: patience + 1 })),
      'that holds nothing out': misled(() => ({ heldOut: 0 })),
      'without weight decay': misled(() => ({ decay: 0 })),
      'in the other measure': misled(({ spread }) => ({ spread: spread === 'unit' ? 'all' : 'unit' })),
      'from another seed': (backend, shape, set, seed, ...rest) =>
        trainNetwork(backend, shape, set, seed + 1, ...rest),
    }),
  )('%s is found', async (_, train) => {
    const backend = await createBackend('reference')
    await kills(isByHand, { backend, train })
    backend.dispose()
  })
})
