/**
 * The engine equals the specification, bit for bit: the laws between `OptModel` and `src/spec`.
 *
 * A case is drawn as what a reader can check by hand: sizes, a short list of numbers that fills all weights, token ids, the
 * units that are skipped, and where the text is cut into feeds. So a shrunk counterexample shows all of it.
 */
import fc from 'fast-check'
import type { Mask, Units } from '../../spec/model.ts'
import type { Backend } from '../../backends/backend.ts'
import { backward as plainBackward, forward } from '../../spec/opt.ts'
import { plainact } from '../../spec/plainact.ts'
import type { Network } from '../../spec/predictor.ts'
import { selectMask as plainSelectMask } from '../../spec/select.ts'
import { generate, plan } from '../../spec/shadowllm.ts'
import { trainNetwork as plainTrainNetwork } from '../../spec/training.ts'
import { tensor } from '../../spec/arrays.ts'
import { plainact as plainactCriterion } from '../../criteria/plainact.ts'
import { owesBits } from '../../eval/parity/op_agreement.ts'
import { makeBudget } from '../../masks/budget.ts'
import { makeMask, type UnitMask } from '../../masks/mask.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import { backendTopK, selectMask } from '../../masks/selection.ts'
import { maskModes } from '../../model/opt/active_block.ts'
import { backward } from '../../model/opt/backward.ts'
import { makeOptConfig, type OptConfig } from '../../model/opt/config.ts'
import { generateTokens } from '../../model/opt/generate.ts'
import { cacheStorages } from '../../model/opt/layer_cache.ts'
import { storages } from '../../model/opt/matrix.ts'
import { parameterShapes } from '../../model/opt/names.ts'
import type { OptModel } from '../../model/opt/opt_model.ts'
import type { SequenceOptions } from '../../model/opt/sequence.ts'
import { traceForward } from '../../model/opt/trace.ts'
import type { LoadOptions } from '../../model/opt/weight_reader.ts'
import type { ShadowCard } from '../../predictor/card.ts'
import { makeCard } from '../../predictor/make_card.ts'
import {
  mlpParameterLengths,
  mlpParameterNames,
  mlpParameterShapes,
  type MlpShape,
  type MlpValues,
} from '../../predictor/mlp.ts'
import { shadowPlanner } from '../../predictor/planners.ts'
import { ShadowPredictor } from '../../predictor/shadow.ts'
import { memorySource, type HostTensor } from '../../tensor/memory_source.ts'
import { trainNetwork } from '../../train/predictor_training.ts'
import { same, sameBits } from '../compare.ts'
import { forAll, type Subject } from './cases.ts'
import { judgeCalls } from './judged_calls.ts'
import { plainModel } from './plain_model.ts'

/** A model, drawn. */
interface EngineCase {
  readonly layers: number
  readonly heads: number
  readonly headSize: number
  readonly neurons: number
  readonly vocabulary: number
  /** Width of the token table; 0 for the model's own. */
  readonly embeddingWidth: number
  readonly preNorm: boolean
  readonly finalNorm: boolean
  readonly tied: boolean
  /** Fill the weights, over and over. */
  readonly numbers: readonly number[]
  readonly tokens: readonly number[]
}

const number = fc.oneof(
  fc.integer({ min: -64, max: 64 }).map((n) => n / 32),
  fc.float({ min: -2, max: 2, noNaN: true }),
)

const engineCase: fc.Arbitrary<EngineCase> = fc.record({
  layers: fc.integer({ min: 1, max: 3 }),
  heads: fc.integer({ min: 1, max: 4 }),
  headSize: fc.integer({ min: 1, max: 9 }),
  neurons: fc.integer({ min: 1, max: 37 }),
  vocabulary: fc.integer({ min: 1, max: 35 }),
  embeddingWidth: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 })),
  preNorm: fc.boolean(),
  finalNorm: fc.boolean(),
  tied: fc.boolean(),
  numbers: fc.array(number, { minLength: 1, maxLength: 211, size: 'max' }),
  tokens: fc.array(fc.nat({ max: 34 }), { minLength: 1, maxLength: 12, size: 'max' }),
})

/** Which units a mask skips, as shares of the way from the first unit of the model to the last. */
const skipped = fc.array(fc.integer({ min: 0, max: 999 }), { maxLength: 60, size: 'max' })
const anyMask = fc.record({ heads: skipped, neurons: skipped })
type SkippedUnits = Readonly<Record<keyof Units, readonly number[]>>

function configOf(drawn: EngineCase): OptConfig {
  const width = drawn.heads * drawn.headSize
  const embeddingWidth = drawn.embeddingWidth || width
  return makeOptConfig({ ...drawn, width, embeddingWidth, positions: drawn.tokens.length })
}

function tensorsOf(config: OptConfig, numbers: readonly number[]): Map<string, HostTensor> {
  const tensors = new Map<string, HostTensor>()
  let used = 0
  for (const [name, shape] of parameterShapes(config)) {
    const length = shape.reduce((product, size) => product * size, 1)
    const values = Float32Array.from({ length }, () => numbers[used++ % numbers.length])
    tensors.set(name, { shape, values })
  }
  return tensors
}

function maskOf({ layers, heads, neurons }: EngineCase, skip: SkippedUnits, dense = 0): UnitMask {
  const table = (kind: keyof Units, units: number): Float32Array => {
    const mask = new Float32Array(layers * units).fill(1)
    for (const place of skip[kind]) mask[Math.floor((place / 1000) * mask.length)] = 0
    return mask.fill(1, 0, dense * units)
  }
  return makeMask({ layers, heads, neurons }, table('heads', heads), table('neurons', neurons))
}

/** A mask of the engine as one of the specification. */
function unitsOf({ shape, heads, neurons }: UnitMask): Units {
  const rows = (table: Float32Array, units: number): Float32Array[] =>
    Array.from({ length: shape.layers }, (_, l) => table.slice(l * units, (l + 1) * units))
  return { heads: rows(heads, shape.heads), neurons: rows(neurons, shape.neurons) }
}

/** The logits [T, V] of a text that is fed in parts. */
function feedInParts(
  model: OptModel,
  tokens: Int32Array,
  cuts: readonly number[],
  options: SequenceOptions,
): Float32Array {
  const { vocabulary } = model.config
  const logits = new Float32Array(tokens.length * vocabulary)
  const ends = [...new Set([...cuts.map((cut) => 1 + (cut % tokens.length)), tokens.length])]
  const sequence = model.begin(options)
  try {
    let start = 0
    for (const end of ends.sort((a, b) => a - b)) {
      logits.set(sequence.feed(tokens.slice(start, end), 'all'), start * vocabulary)
      start = end
    }
    return logits
  } finally {
    sequence.dispose()
  }
}

/** Compares numbers of the engine with those of the specification. @throws Error naming the first that differs */
type Compare = typeof sameBits

/**
 * How a backend is held to the specification: bit for bit; or, if it owes bounds, call by call, and then there is nothing to
 * compare.
 */
function heldTo(backend: Backend): { readonly backend: Backend; readonly compare: Compare } {
  if (owesBits(backend)) return { backend, compare: sameBits }
  return { backend: judgeCalls(backend), compare: () => {} }
}

/** Loads the model of a case, gives it to `work`, and frees it. */
async function withEngine(
  subject: Subject,
  config: OptConfig,
  tensors: Map<string, HostTensor>,
  options: LoadOptions,
  work: (model: OptModel, compare: Compare) => void | Promise<void>,
): Promise<void> {
  const { backend, compare } = heldTo(subject.backend)
  const model = await subject.load(config, memorySource(tensors), backend, options)
  try {
    await work(model, compare)
  } finally {
    model.dispose()
  }
}

/** A network of a predictor, drawn: numbers that fill its parameters over and over. */
const networkCase = fc.record({
  hidden: fc.integer({ min: 1, max: 5 }),
  numbers: fc.array(number, { minLength: 1, maxLength: 97, size: 'max' }),
})

function networkValues(shape: MlpShape, numbers: readonly number[]): MlpValues {
  const lengths = mlpParameterLengths(shape)
  const values = mlpParameterNames.map((name, p) => [
    name,
    Float32Array.from({ length: lengths[name] }, (_, i) => numbers[(i + 31 * p) % numbers.length]),
  ])
  return Object.fromEntries(values) as MlpValues
}

function plainNetwork(shape: MlpShape, values: MlpValues): Network {
  const shapes = mlpParameterShapes(shape)
  const tensors = mlpParameterNames.map((name) => tensor(values[name], ...shapes[name]))
  return tensors as unknown as Network
}

const anyBudget = fc.record({
  sparsity: fc.oneof(
    fc.integer({ min: 0, max: 40 }).map((n) => n / 40),
    fc.double({ min: 0, max: 1, noNaN: true }),
  ),
  scope: fc.constantFrom('global', 'per-layer', 'hybrid'),
  policy: fc.constantFrom('exact', 'released'),
})

/** Rows of equal length. */
const table = (value: fc.Arbitrary<number>, rows: fc.ArrayConstraints, columns: number) =>
  fc
    .tuple(
      fc.integer({ min: 1, max: columns }),
      fc.array(fc.array(value, { minLength: columns, maxLength: columns }), rows),
    )
    .map(([width, all]) => all.map((row) => row.slice(0, width)))

/** Scores of up to four layers, with ties, zeros of both signs, infinities and NaN. */
const score = fc.oneof(fc.constantFrom(0, -0, 1, NaN, Infinity, -Infinity), fc.float())
const scoreTables = fc
  .tuple(
    fc.integer({ min: 1, max: 4 }),
    table(score, { minLength: 4, maxLength: 4 }, 5),
    table(score, { minLength: 4, maxLength: 4 }, 40),
  )
  .map(([layers, heads, neurons]) => ({ heads: heads.slice(0, layers), neurons: neurons.slice(0, layers) }))

/** A training, drawn: what each text shows, what is asked of it, and the settings. */
const trainingCase = fc.record({
  rows: table(number, { minLength: 2, maxLength: 9, size: 'max' }, 6),
  targets: table(number, { minLength: 9, maxLength: 9 }, 7),
  hidden: fc.integer({ min: 1, max: 5 }),
  epochs: fc.integer({ min: 0, max: 5 }),
  batch: fc.integer({ min: 1, max: 6 }),
  rate: fc.double({ min: 1e-4, max: 0.1, noNaN: true }),
  decay: fc.double({ min: 0, max: 0.1, noNaN: true }),
  heldOut: fc.double({ min: 0, max: 0.6, noNaN: true }),
  patience: fc.integer({ min: 1, max: 3 }),
  seed: fc.nat(),
})

/** What a card says of a predictor that learnt from nothing. */
const aboutNothing = { criterion: 'plainact', seed: 0, examples: 0, dataHash: null }

const cuts = fc.array(fc.nat({ max: 11 }), { maxLength: 5, size: 'max' })
const modes = fc.constantFrom(...maskModes)
const anyStorage = fc.constantFrom(...storages)
const anyCache = fc.constantFrom(...cacheStorages)

export const engineLaws = {
  engineLogits: forAll(
    'the logits of a masked model, in every storage, mode and cut into feeds, are those of the specification, bit for bit',
    [
      engineCase,
      anyMask,
      anyStorage,
      anyCache,
      modes,
      cuts,
      // Room for the text at once or not, tokens expected, and one memory for the model or one for each layer.
      fc.record({ capacity: fc.integer({ min: 1, max: 12 }), expectedTokens: fc.nat({ max: 500 }) }),
      fc.constantFrom(1, 2 ** 30),
    ],
    async (subject, drawn, skip, storage, cache, mode, parts, room, bytesPerBackend) => {
      const config = configOf(drawn)
      const tensors = tensorsOf(config, drawn.numbers)
      const tokens = Int32Array.from(drawn.tokens, (id) => id % drawn.vocabulary)
      const mask = maskOf(drawn, skip)
      const { logits } = forward(plainModel(config, tensors, storage, cache), tokens, unitsOf(mask))
      await withEngine(subject, config, tensors, { storage, bytesPerBackend }, (model, compare) =>
        compare('logits', feedInParts(model, tokens, parts, { mask, mode, cache, ...room }), logits.data),
      )
    },
  ),

  engineSchedule: forAll(
    'where a planner decides again after every so many tokens, each token has the mask that was decided last',
    [
      engineCase,
      fc.array(anyMask, { minLength: 1, maxLength: 12, size: 'max' }),
      fc.integer({ min: 1, max: 5 }),
      anyStorage,
      anyCache,
      modes,
      cuts,
    ],
    async (subject, drawn, skips, every, storage, cache, mode, parts) => {
      const config = configOf(drawn)
      const tensors = tensorsOf(config, drawn.numbers)
      const tokens = Int32Array.from(drawn.tokens, (id) => id % drawn.vocabulary)
      const masks = skips.map((skip) => maskOf(drawn, skip, 1))
      const prompt = Math.min(tokens.length, ...parts.map((cut) => 1 + (cut % tokens.length)))
      // The first decision falls on the last token of the prompt, and serves the whole prompt.
      const decided = (t: number): number => Math.max(0, Math.floor((t - (prompt - 1)) / every))
      const units: Mask = Array.from(tokens, (_, t) => unitsOf(masks[decided(t) % masks.length]))
      const { logits, layers } = forward(plainModel(config, tensors, storage, cache), tokens, units)
      const context = layers[0].context.data
      await withEngine(subject, config, tensors, { storage }, (model, compare) => {
        let asked = 0
        const planner: MaskPlanner = {
          name: 'drawn',
          every,
          afterAttention(view) {
            same('tokens', view.tokens, prompt + asked * every)
            sameBits('ids', view.ids, tokens.subarray(0, view.tokens))
            compare('context', view.context, context.subarray(0, view.tokens * config.width))
            return masks[asked++ % masks.length]
          },
        }
        compare('logits', feedInParts(model, tokens, parts, { planner, mode, cache }), logits.data)
      })
    },
  ),

  engineText: forAll(
    'a text by ShadowLLM is that of the specification: one prediction, one mask, the same tokens',
    [
      engineCase,
      fc.record({
        heads: networkCase,
        neurons: networkCase,
        features: fc.constantFrom('standard', 'min_max'),
      }),
      anyBudget,
      anyStorage,
      anyCache,
      modes,
      fc.nat({ max: 6 }),
    ],
    async (subject, drawn, networks, budget, storage, cache, mode, count) => {
      const config = { ...configOf(drawn), positions: drawn.tokens.length + count }
      const tensors = tensorsOf(config, drawn.numbers)
      const prompt = Int32Array.from(drawn.tokens, (id) => id % drawn.vocabulary)
      const plain = plainModel(config, tensors, storage, cache)
      const shapeOf = (kind: keyof Units): MlpShape => ({
        inputs: config.width,
        hidden: networks[kind].hidden,
        outputs: (drawn.layers - 1) * drawn[kind],
      })
      const values = {
        heads: networkValues(shapeOf('heads'), networks.heads.numbers),
        neurons: networkValues(shapeOf('neurons'), networks.neurons.numbers),
      }
      const predictor = {
        features: networks.features,
        heads: plainNetwork(shapeOf('heads'), values.heads),
        neurons: plainNetwork(shapeOf('neurons'), values.neurons),
      }
      const expected = plan(plain, predictor, prompt, budget)
      const text = generate(plain, predictor, prompt, budget, count)
      const card = makeCard(
        'shadow',
        {
          shape: { layers: drawn.layers, heads: drawn.heads, neurons: drawn.neurons },
          width: config.width,
          ...aboutNothing,
        },
        {
          headHidden: networks.heads.hidden,
          neuronHidden: networks.neurons.hidden,
          features: networks.features,
        },
      ) as ShadowCard
      await withEngine(subject, config, tensors, { storage }, async (model, compare) => {
        const trained = new ShadowPredictor(model.backend, card, values)
        try {
          const { sparsity, ...rest } = budget
          const planner = shadowPlanner(trained, makeBudget(sparsity, rest))
          const sequence = model.begin({ planner, mode, cache })
          sequence.feed(prompt)
          const mask = unitsOf(sequence.mask as UnitMask)
          sequence.dispose()
          for (let l = 0; l < drawn.layers; l++) {
            compare('heads', mask.heads[l], expected.heads[l])
            compare('neurons', mask.neurons[l], expected.neurons[l])
          }
          const written: number[] = []
          const options = { planner, mode, cache, maxTokens: count, stopIds: [] }
          for await (const { token } of generateTokens(model, prompt, options)) written.push(token)
          compare('text', written, text)
        } finally {
          trained.dispose()
        }
      })
    },
  ),

  engineSelection: forAll(
    'the mask that keeps the best units within a budget is that of the specification',
    [scoreTables, anyBudget],
    ({ backend }, { heads, neurons }, budget) => {
      const [layers, H, F] = [heads.length, heads[0].length, neurons[0].length]
      const flat = (rows: readonly (readonly number[])[]): Float32Array => Float32Array.from(rows.flat())
      const scores = { shape: { layers, heads: H, neurons: F }, heads: flat(heads), neurons: flat(neurons) }
      const { sparsity, ...rest } = budget
      const mask = unitsOf(selectMask(scores, makeBudget(sparsity, rest), backendTopK(backend)))
      const expected = plainSelectMask(
        {
          heads: heads.map((row) => Float32Array.from(row)),
          neurons: neurons.map((row) => Float32Array.from(row)),
        },
        budget,
      )
      for (let l = 0; l < layers; l++) {
        sameBits('heads', mask.heads[l], expected.heads[l])
        sameBits('neurons', mask.neurons[l], expected.neurons[l])
      }
    },
  ),

  engineTraining: forAll(
    'a network that is trained is that of the specification, bit for bit, after every epoch, batch and stop',
    [trainingCase],
    async (subject, { rows, targets, ...options }) => {
      const { backend, compare } = heldTo(subject.backend)
      const set = {
        rows: rows.map((row) => Float32Array.from(row)),
        targets: targets.slice(0, rows.length).map((row) => Float32Array.from(row)),
      }
      const shape = { inputs: rows[0].length, hidden: options.hidden, outputs: targets[0].length }
      const { values } = await trainNetwork(backend, shape, set, options.seed, options)
      const expected = plainTrainNetwork(set.rows, set.targets, options)
      mlpParameterNames.forEach((name, p) => compare(name, values[name], expected[p].data))
    },
    { runs: 40 },
  ),

  engineGradients: forAll(
    'the activations of a masked model, their gradients and plainact are those of the specification, bit for bit',
    [engineCase, anyMask, fc.constantFrom('f32', 'bf16', 'f16'), fc.array(fc.boolean(), { minLength: 1 })],
    async (subject, drawn, skip, storage, scored) => {
      const config = configOf(drawn)
      const tensors = tensorsOf(config, drawn.numbers)
      const tokens = Int32Array.from(drawn.tokens, (id) => id % drawn.vocabulary)
      const labels = tokens.map((id, t) => (t > 0 && scored[t % scored.length] ? id : -100))
      if (labels.every((label) => label === -100)) return
      const mask = maskOf(drawn, skip)
      const plain = plainModel(config, tensors, storage, 'f32')
      const pass = forward(plain, tokens, unitsOf(mask))
      const following = labels.map((_, t) => (t + 1 < labels.length ? labels[t + 1] : -100))
      const expected = plainBackward(plain, pass, following, unitsOf(mask))
      const scores = plainact(pass.layers, expected, drawn.heads)
      await withEngine(subject, config, tensors, { storage }, (model, compare) => {
        const trace = traceForward(model, tokens, { mask })
        try {
          const gradients = backward(model, trace, labels)
          try {
            for (let l = 0; l < drawn.layers; l++) {
              compare('context', trace.headOut(l), pass.layers[l].context.data)
              compare('activation', trace.fc1Act(l), pass.layers[l].activation.data)
              compare('gradient of context', gradients.maskedHeadOut(l), expected[l].context.data)
              compare('gradient of activation', gradients.maskedFc1Act(l), expected[l].activation.data)
              compare('gradient before relu', gradients.fc1Pre(l), expected[l].preActivation.data)
            }
            const found = unitsOf(plainactCriterion.score({ model, trace, gradients } as never))
            for (let l = 0; l < drawn.layers; l++) {
              compare('scores of heads', found.heads[l], scores.heads[l])
              compare('scores of neurons', found.neurons[l], scores.neurons[l])
            }
          } finally {
            gradients.dispose()
          }
        } finally {
          trace.dispose()
        }
      })
    },
  ),
}
