/**
 * Training the predictor: its gradients are those of the loss, training starts at the best constant, and a small set
 * can be learnt by heart. On every backend, with the same bits.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backendNames, createBackend } from '../../src/backends/select.ts'
import type { Backend } from '../../src/backends/backend.ts'
import { mlpParameterNames, type MlpShape, type MlpValues } from '../../src/predictor/mlp.ts'
import { Random } from '../../src/tensor/random.ts'
import { NetworkTrainer, type TrainingSet } from '../../src/train/network_trainer.ts'
import { trainNetwork } from '../../src/train/predictor_training.ts'
import { checkLaw, law } from '../harness/seed.ts'

interface Case {
  shape: MlpShape
  values: MlpValues
  set: TrainingSet
}

const size = fc.integer({ min: 1, max: 7 })
const someCase: fc.Arbitrary<Case> = fc
  .record({ inputs: size, hidden: size, outputs: size, examples: size, seed: fc.nat() })
  .map(({ inputs, hidden, outputs, examples, seed }) => {
    const random = new Random(seed)
    const table = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal())
    return {
      shape: { inputs, hidden, outputs },
      values: {
        inputWeight: table(hidden * inputs),
        inputBias: table(hidden),
        outputWeight: table(outputs * hidden),
        outputBias: table(outputs),
      },
      set: {
        rows: Array.from({ length: examples }, () => table(inputs)),
        targets: Array.from({ length: examples }, () => table(outputs)),
      },
    }
  })

/** The mean squared error in float64, from the definition. `nearKink`: some hidden unit is close to 0. */
function lossInDouble({ shape, values, set }: Case): { loss: number; nearKink: boolean } {
  const { inputs: I, hidden: R, outputs: O } = shape
  let total = 0
  let nearKink = false
  set.rows.forEach((row, example) => {
    const hidden = Array.from({ length: R }, (_, r) => {
      let z = values.inputBias[r]
      for (let i = 0; i < I; i++) z += values.inputWeight[r * I + i] * row[i]
      if (Math.abs(z) < 1e-2) nearKink = true
      return Math.max(0, z)
    })
    for (let o = 0; o < O; o++) {
      let y = values.outputBias[o]
      for (let r = 0; r < R; r++) y += values.outputWeight[o * R + r] * hidden[r]
      total += (y - set.targets[example][o]) ** 2
    }
  })
  return { loss: total / (set.rows.length * O), nearKink }
}

type Trainer = typeof NetworkTrainer

/** Every gradient equals the central difference of the float64 loss. */
function gradientsAgree(backend: Backend, trainer: Trainer, { shape, values, set }: Case): void {
  fc.pre(!lossInDouble({ shape, values, set }).nearKink)
  const chosen = Int32Array.from(set.rows.keys())
  const one = new trainer(backend, shape, values, chosen.length, 0)
  const loss = one.gradients(set, chosen)
  const gradients = one.readGradients()
  one.dispose()
  expect(backend.liveBuffers).toBe(0)
  expect(loss).toBeCloseTo(lossInDouble({ shape, values, set }).loss, 3)
  for (const name of mlpParameterNames) {
    const largest = gradients[name].reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3)
    gradients[name].forEach((gradient, i) => {
      const moved = (by: number): number => {
        const table = Float64Array.from(values[name])
        table[i] += by
        const shifted = { ...values, [name]: table as unknown as Float32Array }
        return lossInDouble({ shape, values: shifted, set }).loss
      }
      const difference = (moved(1e-4) - moved(-1e-4)) / 2e-4
      expect(Math.abs(gradient - difference) / largest).toBeLessThan(1e-3)
    })
  }
}

const smallSet = (): { shape: MlpShape; set: TrainingSet } => {
  const random = new Random(11)
  const shape = { inputs: 12, hidden: 24, outputs: 9 }
  const table = (length: number): Float32Array => Float32Array.from({ length }, () => random.uniform())
  const rows = Array.from({ length: 16 }, () => table(shape.inputs))
  return { shape, set: { rows, targets: rows.map(() => table(shape.outputs)) } }
}

const plain = { epochs: 400, batch: 8, rate: 1e-2, decay: 0, heldOut: 0, patience: Infinity }

describe.each(backendNames)('a network on %s', (name) => {
  law(
    'has the gradients of its loss',
    [someCase],
    async (given) => {
      const backend = await createBackend(name)
      gradientsAgree(backend, NetworkTrainer, given)
      backend.dispose()
    },
    { runs: 50 },
  )

  test('learns a small set by heart', async () => {
    const { shape, set } = smallSet()
    const backend = await createBackend(name)
    const losses: number[] = []
    await trainNetwork(backend, shape, set, 1, { ...plain, onEpoch: ({ trained }) => losses.push(trained) })
    expect(losses[0]).toBeGreaterThan(0.5)
    expect(losses.at(-1)).toBeLessThan(0.02)
    expect(backend.liveBuffers).toBe(0)
    backend.dispose()
  })

  test('that has learnt nothing is the mean of its targets', async () => {
    const { shape, set } = smallSet()
    const backend = await createBackend(name)
    const { values } = await trainNetwork(backend, shape, set, 1, { ...plain, epochs: 0 })
    expect(values.outputWeight.every((value) => value === 0)).toBe(true)
    values.outputBias.forEach((bias, o) => {
      const mean = set.targets.reduce((total, row) => total + row[o], 0) / set.targets.length
      expect(bias).toBeCloseTo(mean, 5)
    })
    backend.dispose()
  })

  test('keeps the epoch that did best on the examples held out, never one worse than the mean', async () => {
    const { shape, set } = smallSet()
    const backend = await createBackend(name)
    const options = { ...plain, epochs: 60, heldOut: 0.25 }
    const seen: number[] = []
    const trained = await trainNetwork(backend, shape, set, 1, {
      ...options,
      onEpoch: ({ heldOut }) => seen.push(heldOut),
    })
    // The targets are noise: what is learnt of twelve examples does not help with the other four.
    expect(seen.at(-1)).toBeGreaterThan(1)
    expect(trained.heldOut).toBe(Math.min(1, ...seen))
    backend.dispose()
  })

  test('stops when it is told to, and frees what it holds', async () => {
    const { shape, set } = smallSet()
    const backend = await createBackend(name)
    const interrupt = new AbortController()
    const options = { ...plain, signal: interrupt.signal, onEpoch: () => interrupt.abort() }
    await expect(trainNetwork(backend, shape, set, 1, options)).rejects.toThrow(/abort/)
    expect(backend.liveBuffers).toBe(0)
    backend.dispose()
  })
})

describe('a seed', () => {
  test('gives the same bits on every backend, another seed gives others', async () => {
    const { shape, set } = smallSet()
    const train = async (name: (typeof backendNames)[number], seed: number): Promise<MlpValues> => {
      const backend = await createBackend(name)
      const { values } = await trainNetwork(backend, shape, set, seed, { ...plain, epochs: 5 })
      backend.dispose()
      return values
    }
    const first = await train(backendNames[0], 3)
    for (const name of backendNames) expect(await train(name, 3)).toEqual(first)
    expect(await train(backendNames[0], 4)).not.toEqual(first)
  })
})

/** A hidden bias that is pushed where nothing pushes. */
class PushedTrainer extends NetworkTrainer {
  override readGradients(): MlpValues {
    const gradients = super.readGradients()
    return { ...gradients, inputBias: gradients.inputBias.map((value) => value * 1.1 + 0.01) }
  }
}

/** Averages over examples but not over outputs. */
class UnscaledTrainer extends NetworkTrainer {
  override readGradients(): MlpValues {
    const gradients = super.readGradients()
    const { outputs } = this.network.shape
    return { ...gradients, outputWeight: gradients.outputWeight.map((value) => value * outputs) }
  }
}

describe('mutants of the gradients', () => {
  for (const [name, mutant] of [
    ['a bias gradient that is off', PushedTrainer],
    ['a gradient not divided by the outputs', UnscaledTrainer],
  ] as const)
    test(`${name}: killed`, async () => {
      const broken = checkLaw(
        `mutant: ${name}`,
        [someCase],
        async (given) => gradientsAgree(await createBackend('reference'), mutant, given),
        { record: false },
      )
      await expect(broken).rejects.toThrow('Property failed')
    })
})
