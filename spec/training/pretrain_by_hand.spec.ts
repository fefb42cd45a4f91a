/**
 * The training of a language model equals the same run computed by hand, bit for bit: the windows of each step, its rate, loss,
 * norm and clipping, AdamW with betas 0.9 and 0.95 on every parameter, and the held-out losses. The gradient of one window is
 * that of the model, which other laws compare with finite differences.
 *
 * Tests src/training/pretrain.ts, src/training/pretrain_data.ts and src/training/pretrain_settings.ts.
 */
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import type { Buffer } from '../../src/backends/backend.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import { createBackend } from '../../src/backends/select.ts'
import { backward } from '../../src/engine/backward.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { readParameters } from '../../src/engine/weight_layout.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { dot } from '../../src/ops/float32.ts'
import { memorySource, type HostTensor } from '../../src/tensor/memory_source.ts'
import { pretrain, type HeldOutReport, type StepReport } from '../../src/training/pretrain.ts'
import { seededBatches } from '../../src/training/pretrain_data.ts'
import { embeddedRecipe, type PretrainSettings } from '../../src/training/pretrain_settings.ts'
import { near, sameBits } from '../../src/verify/compare.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { adamw } from './training_by_hand.ts'

const backend = await createBackend('wasm')
afterAll(() => backend.dispose())

const config = makeConfig({ layers: 1, width: 8, heads: 2, neurons: 5, vocabulary: 11, positions: 6 })

interface Run {
  readonly settings: PretrainSettings
  readonly training: number
  /** Of more than 32 held-out windows an even selection is measured. */
  readonly heldOut: number
  readonly evaluateEvery: number
}

/** Batches within an epoch and over several, warm-up of no steps, of some and of all, gradients clipped or not. */
const someRun: fc.Arbitrary<Run> = fc.record({
  settings: fc.record({
    steps: fc.integer({ min: 1, max: 4 }),
    batch: fc.integer({ min: 1, max: 5 }),
    length: fc.constant(6),
    rate: fc.constantFrom(0.01, 0.1),
    warmup: fc.integer({ min: 0, max: 5 }),
    floor: fc.constantFrom(0, 0.05, 1),
    decay: fc.constantFrom(0, 0.1),
    clip: fc.constantFrom(0.05, 0.5, 1e6),
    seed: fc.nat(99),
  }),
  training: fc.integer({ min: 1, max: 6 }),
  heldOut: fc.constantFrom(0, 1, 3, 33, 47),
  evaluateEvery: fc.integer({ min: 1, max: 3 }),
})

/** Windows of two to six tokens, so that shares of tokens and of windows differ. */
function windowsOf({ settings, training, heldOut }: Run): { training: Int32Array[]; heldOut: Int32Array[] } {
  const data = new Data(settings.seed)
  const some = (count: number): Int32Array[] =>
    Array.from({ length: count }, () =>
      data.ids('window', data.integer(2, config.positions), config.vocabulary),
    )
  return { training: some(training), heldOut: some(heldOut) }
}

/** The result of a run: its reports, and its weights and moments by name. */
interface Outcome {
  readonly steps: readonly Omit<StepReport, 'seconds'>[]
  readonly heldOut: readonly HeldOutReport[]
  readonly state: Readonly<Record<'weights' | 'means' | 'squares', ReadonlyMap<string, HostTensor>>>
}

type Pretrain = typeof pretrain

async function byEngine(run: Run, train: Pretrain): Promise<Outcome> {
  const steps: Omit<StepReport, 'seconds'>[] = []
  const heldOut: HeldOutReport[] = []
  const state = await train({
    config,
    backend,
    windows: windowsOf(run),
    settings: run.settings,
    from: null,
    evaluateEvery: run.evaluateEvery,
    saveEvery: 100,
    onStep: ({ seconds, ...report }) => {
      expect(seconds).toBeGreaterThanOrEqual(0)
      steps.push(report)
    },
    onHeldOut: (report) => void heldOut.push(report),
    save: async () => {},
  })
  return { steps, heldOut, state }
}

/** Draw n of a run. Each epoch draws every window once, in its own random order. */
function drawn(n: number, windows: number, seed: number): number {
  return seededBatches(windows, windows, seed)(Math.floor(n / windows))[n % windows]
}

/** The rate: linear over the warm-up, then half a cosine down to the floor. */
function rateAt(step: number, { rate, warmup, steps, floor }: PretrainSettings): number {
  if (step < warmup) return (rate * (step + 1)) / warmup
  const share = (step - warmup) / (steps - warmup)
  return floor * rate + (1 - floor) * ((rate * (1 + Math.cos(Math.PI * share))) / 2)
}

/** The mean negative log-likelihood of the windows' tokens but the first of each, in float64. */
function lossOf(model: LanguageModel, windows: readonly Int32Array[]): number {
  const V = config.vocabulary
  const costs = windows.flatMap((tokens) => {
    const sequence = model.begin()
    const logits = sequence.feed(tokens, 'all')
    sequence.dispose()
    return Array.from(tokens.subarray(1), (token, t) => {
      const row = [...logits.subarray(t * V, (t + 1) * V)]
      return Math.log(row.reduce((total, logit) => total + Math.exp(logit), 0)) - row[token]
    })
  })
  return costs.reduce((total, cost) => total + cost, 0) / costs.length
}

async function byHand(run: Run): Promise<Outcome> {
  const { settings, evaluateEvery } = run
  const { training, heldOut } = windowsOf(run)
  const residual = 1 / Math.sqrt(2 * config.layers)
  const weights = initialWeights(config, { seed: settings.seed, residual })
  const model = await LanguageModel.load(config, memorySource(weights), backend)
  const scope = new BufferScope(backend)
  const held = [...model.weights.parameters].map(([name, buffer]) => {
    const zeros = (): Float32Array => new Float32Array(buffer.length)
    const gradient = scope.allocate('f32', buffer.shape)
    return { name, buffer, gradient, mean: zeros(), square: zeros() }
  })
  const steps: Omit<StepReport, 'seconds'>[] = []
  const measured: HeldOutReport[] = []
  const measure = (step: number): void => {
    const due = step === settings.steps || step % evaluateEvery === 0
    const count = Math.min(32, heldOut.length)
    const chosen = Array.from({ length: count }, (_, i) => heldOut[Math.floor((i * heldOut.length) / count)])
    if (due && count > 0) measured.push({ step, heldOut: lossOf(model, chosen) })
  }
  for (let step = 0; step < settings.steps; step++) {
    measure(step)
    const batch = Array.from({ length: settings.batch }, (_, b) => {
      const n = step * settings.batch + b
      return training[drawn(n, training.length, settings.seed)]
    })
    const tokens = batch.reduce((total, window) => total + window.length, 0)
    const parameters = new Map(held.map(({ name, gradient }) => [name, gradient]))
    const loss = batch.reduce((total, window) => {
      const trace = traceForward(model, window)
      const share = backward(model, trace, window, { parameters, scored: tokens - batch.length })
      share.dispose()
      trace.dispose()
      return total + share.loss
    }, 0)
    const gradients = held.map(({ gradient }) => backend.readF32(gradient))
    const total = gradients.reduce((sum, one) => Math.fround(sum + dot(one, 0, one, 0, one.length)), 0)
    const norm = Math.sqrt(total)
    const factor = norm > settings.clip ? Math.fround(settings.clip / norm) : 1
    const rate = rateAt(step, settings)
    held.forEach(({ name, buffer, gradient, mean, square }, i) => {
      const values = backend.readF32(buffer)
      const grad = gradients[i].map((value) => value * factor)
      const isVector = name.endsWith('.bias') || name.endsWith('layer_norm.weight')
      adamw({ values, grad, mean, square }, step + 1, rate, isVector ? 0 : settings.decay, 0.9, 0.95)
      backend.write(buffer, values)
      backend.zero(gradient)
    })
    steps.push({ step: step + 1, loss, norm, rate, tokens })
  }
  measure(settings.steps)
  const asStored = (bufferOf: (one: (typeof held)[number]) => Buffer): ReadonlyMap<string, HostTensor> =>
    readParameters(config, backend, new Map(held.map((one) => [one.name, bufferOf(one)])))
  const state = {
    weights: asStored(({ buffer }) => buffer),
    means: asStored(({ mean, buffer }) => scope.upload(mean, buffer.shape)),
    squares: asStored(({ square, buffer }) => scope.upload(square, buffer.shape)),
  }
  scope.dispose()
  model.dispose()
  return { steps, heldOut: measured, state }
}

const isByHand = lawForAll(
  'a run has the weights, moments, reports and held-out losses of the run by hand',
  { run: someRun },
  async (train: Pretrain, { run }) => {
    const found = await byEngine(run, train)
    const expected = await byHand(run)
    expect(found.steps).toEqual(expected.steps)
    expect(found.heldOut.map(({ step }) => step)).toEqual(expected.heldOut.map(({ step }) => step))
    found.heldOut.forEach(({ heldOut }, i) => {
      // Logits are float32, so the loss of a token is off by about 1e-6.
      near('held out', [heldOut], [expected.heldOut[i].heldOut], 1e-5 * (1 + heldOut))
    })
    for (const kind of ['weights', 'means', 'squares'] as const)
      for (const [name, { values }] of expected.state[kind])
        sameBits(`${kind} ${name}`, (found.state[kind].get(name) as HostTensor).values, values)
    expect(backend.liveBuffers).toBe(0)
  },
  { runs: 15 },
)
stateLaw(isByHand, pretrain)

describe('a run', () => {
  const misled =
    (change: (settings: PretrainSettings) => Partial<PretrainSettings>): Pretrain =>
    (options) =>
      pretrain({ ...options, settings: { ...options.settings, ...change(options.settings) } })
  killsEach('%s is found', isByHand, {
    'that is not clipped': misled(() => ({ clip: Infinity })),
    'that warms up longer': misled(({ warmup }) => ({ warmup: warmup + 1 })),
    'that falls to nothing': misled(() => ({ floor: 0 })),
    'that measures the first held-out windows only': (options) =>
      pretrain({
        ...options,
        windows: { ...options.windows, heldOut: options.windows.heldOut.slice(0, 32) },
      }),
  })
})

test('a window as long as the context is trained on, a longer one is refused', async () => {
  const settings = { ...embeddedRecipe, steps: 1, batch: 1 }
  const train = (length: number): Promise<unknown> =>
    pretrain({
      config,
      backend,
      windows: { training: [new Data(1).ids('window', config.positions, config.vocabulary)], heldOut: [] },
      settings: { ...settings, length },
      from: null,
      evaluateEvery: 1,
      saveEvery: 1,
      save: async () => {},
    })
  await expect(train(config.positions)).resolves.toMatchObject({ step: 1 })
  await expect(train(config.positions + 1)).rejects.toThrow(
    "length: expected at most the model's 6 positions, got 7",
  )
})
