/**
 * Training the networks of a predictor on every backend: the gradients are those of the loss, a small set can be overfitted, and
 * strict backends give the same bits. training_by_hand.spec.ts compares every number of a training with a computation by hand.
 *
 * Tests src/training/network_trainer.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import type { Backend, BackendName } from '../../src/backends/backend.ts'
import { networkForms } from '../../src/predictor/network.ts'
import {
  networkParameterShapes,
  startingNetwork,
  type NetworkShape,
  type NetworkValues,
} from '../../src/predictor/network.ts'
import { Random } from '../../src/tensor/random.ts'
import { NetworkTrainer, type Loss, type TrainingSet } from '../../src/training/network_trainer.ts'
import { trainNetwork } from '../../src/training/predictor_training.ts'
import { inTier, openBackend } from '../harness/backends.ts'
import { kills, law, lawForAll, stateLaw } from '../harness/seed.ts'
import { portableNames, strictNames } from '../harness/strict.ts'

interface Case {
  shape: NetworkShape
  loss: Loss
  values: NetworkValues
  set: TrainingSet
}

/** Tables of a network's parameters, whatever holds the numbers. */
type Tables = Readonly<Record<string, ArrayLike<number>>>

const size = fc.integer({ min: 1, max: 6 })
const someLoss = fc.constantFrom<Loss>(
  { name: 'mse' },
  { name: 'bce', negativeWeight: 1 },
  { name: 'bce', negativeWeight: 0.25 },
)
const someCase: fc.Arbitrary<Case> = fc
  .record({
    inputs: size,
    hidden: size,
    outputs: size,
    examples: size,
    seed: fc.nat(),
    form: fc.constantFrom(...networkForms),
    pools: fc.boolean(),
    loss: someLoss,
  })
  .map(({ inputs, hidden, outputs, examples, seed, form, pools, loss }) => {
    const random = new Random(seed)
    const table = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal())
    const shape = { inputs, hidden, outputs, form, pools }
    const shapes = [...networkParameterShapes(shape)]
    const values = Object.fromEntries(
      shapes.map(([name, sizes]) => [name, table(sizes.reduce((product, one) => product * one, 1))]),
    )
    const none = new Float32Array(0)
    const label = (): number => [0, 1, 0.5][random.below(3)]
    return {
      shape,
      loss,
      values: { inputBias: none, outputBias: none, ...values } as NetworkValues,
      set: {
        rows: Array.from({ length: examples }, () => table(inputs * (pools ? 1 + random.below(4) : 1))),
        targets: Array.from({ length: examples }, () =>
          loss.name === 'mse' ? table(outputs) : Float32Array.from({ length: outputs }, label),
        ),
      },
    }
  })

/** x Wᵀ + b of one row in float64. */
function affine(
  x: readonly number[],
  weight: ArrayLike<number>,
  bias: ArrayLike<number> | undefined,
): number[] {
  return Array.from({ length: weight.length / x.length }, (_, o) =>
    x.reduce((sum, value, i) => sum + value * weight[o * x.length + i], bias?.[o] ?? 0),
  )
}

/** Self-attention over the tokens, then their mean, in float64 and token by token. */
function poolInDouble(prompt: Float32Array, width: number, values: Tables): number[] {
  const tokens = Array.from({ length: prompt.length / width }, (_, t) => [
    ...prompt.subarray(t * width, (t + 1) * width),
  ])
  const project = (name: string): number[][] =>
    tokens.map((x) => affine(x, values[`${name}Weight`], values[`${name}Bias`]))
  const [queries, keys, content] = [project('query'), project('key'), project('value')]
  const seen = queries.map((query) => {
    const weights = keys.map((key) =>
      Math.exp(key.reduce((dot, k, d) => dot + k * query[d], 0) / Math.sqrt(width)),
    )
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    return query.map((_, d) => content.reduce((sum, value, s) => sum + (weights[s] / total) * value[d], 0))
  })
  return seen[0].map((_, d) => seen.reduce((sum, y) => sum + y[d] / seen.length, 0))
}

/** The loss in float64, from the definition. `nearKink`: some hidden unit is close to 0. */
function lossInDouble({ shape, loss, values, set }: Omit<Case, 'values'> & { values: Tables }): {
  loss: number
  nearKink: boolean
} {
  const bare = shape.form === 'low-rank'
  let total = 0
  let nearKink = false
  set.rows.forEach((row, example) => {
    const x = shape.pools ? poolInDouble(row, shape.inputs, values) : [...row]
    const pre = affine(x, values.inputWeight, bare ? undefined : values.inputBias)
    if (!bare && pre.some((z) => Math.abs(z) < 1e-2)) nearKink = true
    const hidden = bare ? pre : pre.map((z) => Math.max(0, z))
    const outputs = affine(hidden, values.outputWeight, bare ? undefined : values.outputBias)
    outputs.forEach((z, o) => {
      const y = set.targets[example][o]
      if (loss.name === 'mse') total += (z - y) ** 2
      else {
        const weight = y * (1 - loss.negativeWeight) + loss.negativeWeight
        total += weight * (Math.max(z, 0) - z * y + Math.log1p(Math.exp(-Math.abs(z))))
      }
    })
  })
  return { loss: total / (set.rows.length * shape.outputs), nearKink }
}

/** A loss is computed in float32, so its rounding grows with it. */
const expectLoss = (found: number, inDouble: number): void =>
  expect(Math.abs(found - inDouble)).toBeLessThanOrEqual(1e-4 * (1 + inDouble))

type Trainer = typeof NetworkTrainer

/** Every gradient equals the central difference of the float64 loss. */
const gradientsAgree = lawForAll(
  'has the gradients of its loss',
  { given: someCase },
  async ({ name, trainer }: { name: BackendName; trainer: Trainer }, { given }) => {
    const { shape, loss, values, set } = given
    const tables = values as unknown as Tables
    const inDouble = (moved: Tables): ReturnType<typeof lossInDouble> =>
      lossInDouble({ ...given, values: moved })
    fc.pre(!inDouble(tables).nearKink)
    const chosen = Int32Array.from(set.rows.keys())
    const backend = await openBackend(name)
    const one = new trainer(backend, shape, values, chosen.length, 0, loss, 4)
    const found = one.gradients(set, chosen)
    const gradients = one.readGradients() as unknown as Tables
    one.dispose()
    expect(backend.liveBuffers).toBe(0)
    backend.dispose()
    expectLoss(found, inDouble(tables).loss)
    const largestOf = (name: string): number =>
      Array.from(gradients[name]).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3)
    const names = [...networkParameterShapes(shape).keys()]
    const overall = Math.max(...names.map(largestOf))
    for (const name of names) {
      // The gradient of a parameter with little effect may be off by the rounding of the others.
      const largest = Math.max(largestOf(name), overall / 100)
      Array.from(gradients[name]).forEach((gradient, i) => {
        const moved = (by: number): number => {
          const table = Float64Array.from(tables[name])
          table[i] += by
          return inDouble({ ...tables, [name]: table }).loss
        }
        const difference = (moved(1e-4) - moved(-1e-4)) / 2e-4
        expect(Math.abs(gradient - difference) / largest, name).toBeLessThan(1e-3)
      })
    }
  },
  { runs: 50 },
)

/** The loss and the gradients depend neither on earlier calls nor on unused rows of a batch. */
function measuresAnyExamples(backend: Backend, given: Case, batch: number, seed: number): void {
  const { shape, loss, values, set } = given
  const random = new Random(seed)
  const chosen = Int32Array.from({ length: random.below(12) }, () => random.below(set.rows.length))
  const of = (places: Int32Array): TrainingSet => ({
    rows: Array.from(places, (place) => set.rows[place]),
    targets: Array.from(places, (place) => set.targets[place]),
  })
  const trainer = new NetworkTrainer(backend, shape, values, batch, 0, loss, 4)
  const few = chosen.subarray(0, batch)
  const tables = values as unknown as Tables
  const expected = (places: Int32Array): number =>
    places.length === 0 ? 0 : lossInDouble({ shape, loss, set: of(places), values: tables }).loss
  expectLoss(trainer.loss(set, chosen), expected(chosen))
  expectLoss(trainer.gradients(set, few), expected(few))
  const alone = new NetworkTrainer(backend, shape, values, Math.max(1, few.length), 0, loss, 4)
  alone.gradients(set, few)
  expect(trainer.readGradients()).toEqual(alone.readGradients())
  for (const one of [trainer, alone]) one.dispose()
}

const smallSet = (): { shape: NetworkShape; set: TrainingSet } => {
  const random = new Random(11)
  const shape = { inputs: 12, hidden: 24, outputs: 9 }
  const table = (length: number): Float32Array => Float32Array.from({ length }, () => random.uniform())
  const rows = Array.from({ length: 16 }, () => table(shape.inputs))
  return { shape, set: { rows, targets: rows.map(() => table(shape.outputs)) } }
}

const plain = { epochs: 400, batch: 8, rate: 1e-2, decay: 0, heldOut: 0, patience: Infinity }

describe.each(inTier(portableNames))('a network on %s', (name) => {
  stateLaw(gradientsAgree, { name, trainer: NetworkTrainer })

  law(
    'measures the mean loss of any examples, and the gradients of a batch in larger buffers',
    { given: someCase, batch: fc.integer({ min: 1, max: 9 }), seed: fc.nat() },
    async ({ given, batch, seed }) => {
      const backend = await openBackend(name)
      measuresAnyExamples(backend, given, batch, seed)
      backend.dispose()
    },
    { runs: 40 },
  )

  test('learns a small set by heart', async () => {
    const { shape, set } = smallSet()
    const backend = await openBackend(name)
    const losses: number[] = []
    await trainNetwork(backend, shape, set, 1, { ...plain, onEpoch: ({ trained }) => losses.push(trained) })
    expect(losses[0]).toBeGreaterThan(0.5)
    expect(losses.at(-1)).toBeLessThan(0.02)
    expect(backend.liveBuffers).toBe(0)
    backend.dispose()
  })

  test('stops when it is told to, and frees its memory', async () => {
    const { shape, set } = smallSet()
    const backend = await openBackend(name)
    const interrupt = new AbortController()
    const options = { ...plain, signal: interrupt.signal, onEpoch: () => interrupt.abort() }
    await expect(trainNetwork(backend, shape, set, 1, options)).rejects.toThrow(/abort/)
    expect(backend.liveBuffers).toBe(0)
    backend.dispose()
  })
})

law(
  'a seed gives the same bits on every strict backend, another seed gives others',
  { one: someCase },
  async ({ one: { shape, loss, set } }) => {
    const train = async (name: BackendName, seed: number): Promise<NetworkValues> => {
      const backend = await openBackend(name)
      const { values } = await trainNetwork(backend, shape, set, seed, {
        ...plain,
        epochs: 2,
        batch: 2,
        loss,
      })
      backend.dispose()
      return values
    }
    const first = await train(strictNames[0], 3)
    for (const name of strictNames.slice(1)) expect(await train(name, 3)).toEqual(first)
    expect(await train('wasm-relaxed', 3)).toEqual(await train('wasm-relaxed', 3))
    expect(await train(strictNames[0], 4)).not.toEqual(first)
  },
  { runs: 10 },
)

describe('labels and whole prompts', () => {
  const labels = (): { set: TrainingSet; shape: NetworkShape } => {
    const random = new Random(3)
    const shape: NetworkShape = { inputs: 6, hidden: 12, outputs: 5 }
    const row = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal())
    const rows = Array.from({ length: 24 }, () => row(shape.inputs))
    // What is best depends on the row: unit o where feature o is positive.
    const targets = rows.map((x) => Float32Array.from({ length: 5 }, (_, o) => (x[o] > 0 ? 1 : 0)))
    return { shape, set: { rows, targets } }
  }
  const bce: Loss = { name: 'bce', negativeWeight: 0.5 }

  test('an untrained output gives the odds of the labels, labels of 0 weighted', async () => {
    const { shape, set } = labels()
    const backend = await createBackend('reference')
    const options = { ...plain, epochs: 0, loss: bce }
    const { values } = await trainNetwork(backend, shape, set, 1, options)
    // No other constant has a smaller loss.
    const lossOf = (bias: Float32Array): number =>
      lossInDouble({ shape, loss: bce, set, values: { ...values, outputBias: bias } as unknown as Tables })
        .loss
    for (const by of [-0.05, 0.05])
      expect(lossOf(values.outputBias.map((odds) => odds + by))).toBeGreaterThan(lossOf(values.outputBias))
    backend.dispose()
  })

  test('an attention pool learns which token matters', async () => {
    const random = new Random(8)
    const shape: NetworkShape = { inputs: 4, hidden: 8, outputs: 1, pools: true }
    // The token marked by its first feature says what the target is; where it stands changes.
    const rows = Array.from({ length: 32 }, () => {
      const prompt = Float32Array.from({ length: 4 * 5 }, () => random.normal())
      const marked = random.below(5)
      for (let t = 0; t < 5; t++) prompt[t * 4] = t === marked ? 3 : -3
      return prompt
    })
    const targets = rows.map((prompt) => {
      const marked = [0, 1, 2, 3, 4].find((t) => prompt[t * 4] > 0) as number
      return Float32Array.of(prompt[marked * 4 + 1])
    })
    const backend = await createBackend('wasm')
    const losses: number[] = []
    const onEpoch = (report: { trained: number }): void => void losses.push(report.trained)
    await trainNetwork(backend, shape, { rows, targets }, 2, { ...plain, epochs: 80, rate: 2e-2, onEpoch })
    expect(losses.at(-1)).toBeLessThan(0.05)
    backend.dispose()
  })

  test('an attention pool starts near the mean of the tokens', async () => {
    const backend = await createBackend('reference')
    const shape: NetworkShape = { inputs: 3, hidden: 2, outputs: 1, pools: true }
    const values = startingNetwork(shape, new Float32Array(1), new Random(1)) as unknown as Tables
    const same = Float32Array.of(1, 2, 3, 1, 2, 3)
    expect(poolInDouble(same, 3, values)).toEqual([1, 2, 3].map((value) => expect.closeTo(value, 6)))
    backend.dispose()
  })
})

/** A hidden weight that is pushed where nothing pushes. */
class PushedTrainer extends NetworkTrainer {
  override readGradients(): NetworkValues {
    const gradients = super.readGradients()
    return { ...gradients, inputWeight: gradients.inputWeight.map((value) => value * 1.1 + 0.01) }
  }
}

/** Averages over examples but not over outputs. */
class UnscaledTrainer extends NetworkTrainer {
  override readGradients(): NetworkValues {
    const gradients = super.readGradients()
    const { outputs } = this.network.shape
    return { ...gradients, outputWeight: gradients.outputWeight.map((value) => value * outputs) }
  }
}

/** Learns queries as if they had not been scaled. */
class UnscaledQueryTrainer extends NetworkTrainer {
  override readGradients(): NetworkValues {
    const gradients = super.readGradients()
    const by = Math.sqrt(this.network.shape.inputs)
    return { ...gradients, queryWeight: gradients.queryWeight?.map((value) => value * by) }
  }
}

/** Counts every label fully. */
class UnweightedTrainer extends NetworkTrainer {
  constructor(...args: ConstructorParameters<Trainer>) {
    const [backend, shape, values, batch, decay, loss, longest] = args
    const even: Loss | undefined = loss?.name === 'bce' ? { ...loss, negativeWeight: 1 } : loss
    super(backend, shape, values, batch, decay, even, longest)
  }
}

describe('mutants of the gradients', () => {
  for (const [name, mutant] of [
    ['a weight gradient that is off', PushedTrainer],
    ['a gradient not divided by the outputs', UnscaledTrainer],
    ['a query gradient that lacks the scale', UnscaledQueryTrainer],
    ['labels of 0 that count like labels of 1', UnweightedTrainer],
  ] as const)
    test(`${name}: killed`, () => kills(gradientsAgree, { name: 'reference', trainer: mutant }))
})
