/**
 * Cases of the laws of the engine that are drawn whole.
 *
 * A case is drawn as what a reader can check by hand: sizes, a short list of numbers that fills all weights, token ids, the
 * units that are skipped, and where the text is cut into feeds. So a shrunk counterexample shows all of it.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { owesBits } from '../../testing/op_agreement.ts'
import { channelSites, type ChannelSite } from '../../masks/channels.ts'
import { makeMask, unitKinds, type UnitMask } from '../../masks/mask.ts'
import { prefills, type MaskPlanner, type Prefill } from '../../masks/planner.ts'
import { maskModes } from '../../engine/active_layer.ts'
import type { ModelConfig } from '../../engine/config.ts'
import { cacheStorages } from '../../engine/layer_cache.ts'
import { storageNamed, storages, type Storage } from '../../engine/storages/index.ts'
import { parameterShapes } from '../../engine/program.ts'
import { withSequence, type LanguageModel } from '../../engine/language_model.ts'
import type { LogitsWanted, Sequence, SequenceOptions } from '../../engine/sequence.ts'
import { layerMask } from '../../engine/unit_lists.ts'
import type { LoadOptions } from '../../engine/weight_reader.ts'
import {
  layerParameterLengths,
  layerParameterNames,
  type NetworkShape,
  type NetworkValues,
} from '../../predictor/network.ts'
import { gates } from '../../ops/activations.ts'
import { result, tensor, type Tensor, type Units } from '../../spec/plain.ts'
import type { LayerPass } from '../../spec/model.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'
import { recordOf } from '../../tensor/records.ts'
import { sameBits } from '../compare.ts'
import { configOf, sizes, withLoaded, type ModelCase, type Subject } from './cases.ts'
import { judgeCalls } from './judged_calls.ts'

/** A model and a text, drawn. */
export interface EngineCase extends Omit<ModelCase, 'positions' | 'seed'> {
  /** Fill the weights, over and over. */
  readonly numbers: readonly number[]
  readonly tokens: readonly number[]
}

const number = fc.oneof(
  // A counterexample has numbers that one can read, if they break the law as well.
  { withCrossShrink: true },
  fc.integer({ min: -64, max: 64 }).map((n) => n / 32),
  fc.float({ min: -2, max: 2, noNaN: true }),
)

const { positions: _positions, seed: _seed, ...modelSizes } = sizes

/** Any small model and text. */
export const engineCase: fc.Arbitrary<EngineCase> = fc.record({
  ...modelSizes,
  vocabulary: fc.integer({ min: 1, max: 35 }),
  numbers: fc.array(number, { minLength: 1, maxLength: 211, size: 'max' }),
  tokens: fc.array(fc.nat({ max: 34 }), { minLength: 1, maxLength: 12, size: 'max' }),
})

/** A model of more than 64 outputs and several blocks of inputs, which are held in several tiles. */
export const wideCase: EngineCase = {
  layers: 2,
  heads: 3,
  headSize: 24,
  neurons: 70,
  vocabulary: 5,
  embeddingWidth: 0,
  preNorm: true,
  finalNorm: true,
  tied: true,
  llama: null,
  numbers: [0.5, -0.25, 1, 0.03125, -1.5, 0.75, -0.5, 2, -0.125, 0.375, -2, 1.25, 0.0625],
  tokens: [1, 4, 2, 0, 3, 3],
}

/** A storage of blocks. */
export const blockStorage = storages.find((name) => storageNamed(name).block > 1) as Storage

/** Which units a mask skips, as shares of the way from the first unit of the model to the last. */
const place = fc.integer({ min: 0, max: 999 })
// A long list leaves few heads of a small model.
const skipped = fc.oneof(
  { weight: 1, arbitrary: fc.array(place, { maxLength: 5, size: 'max' }) },
  { weight: 2, arbitrary: fc.array(place, { maxLength: 60, size: 'max' }) },
)
/** Any units to skip. */
export const anyMask = fc.record({ heads: skipped, neurons: skipped })
/** Places of the units that are skipped, in thousandths of the way from the first unit of a kind to the last. */
export type SkippedUnits = Readonly<Record<keyof Units, readonly number[]>>

/** The configuration, weights and tokens of a case. @param more positions after those of the text */
export function made(
  drawn: EngineCase,
  more = 0,
): {
  readonly config: ModelConfig
  readonly tensors: Map<string, HostTensor>
  readonly tokens: Int32Array
} {
  const config = configOf({ ...drawn, positions: drawn.tokens.length + more })
  const tokens = Int32Array.from(drawn.tokens, (id) => id % drawn.vocabulary)
  return { config, tensors: tensorsOf(config, drawn.numbers), tokens }
}

/** The weights of a case by Hugging Face name: its numbers, over and over. */
function tensorsOf(config: ModelConfig, numbers: readonly number[]): Map<string, HostTensor> {
  const tensors = new Map<string, HostTensor>()
  let used = 0
  for (const [name, shape] of parameterShapes(config)) {
    const length = shape.reduce((product, size) => product * size, 1)
    const values = new Float32Array(length).map(() => numbers[used++ % numbers.length])
    tensors.set(name, { shape, values })
  }
  return tensors
}

/**
 * The mask that skips these units.
 * @param dense layers, from the first, in which nothing is skipped
 * @param factor of the units that are not skipped
 */
export function maskOf(
  { layers, heads, neurons }: EngineCase,
  skip: SkippedUnits,
  dense = 0,
  factor = 1,
): UnitMask {
  const table = (kind: keyof Units, units: number): Float32Array => {
    const mask = new Float32Array(layers * units).fill(factor)
    for (const place of skip[kind]) mask[Math.floor((place / 1000) * mask.length)] = 0
    return mask.fill(1, 0, dense * units)
  }
  return makeMask({ layers, heads, neurons }, table('heads', heads), table('neurons', neurons))
}

/** Masks one after the other: each drawn anew, or the one before with up to two units of each kind switched. */
export interface Schedule {
  readonly drifts: boolean
  readonly skips: readonly SkippedUnits[]
}
export const maskSchedule: fc.Arbitrary<Schedule> = fc.record({
  drifts: fc.boolean(),
  skips: fc.array(anyMask, { minLength: 1, maxLength: 12, size: 'max' }),
})

/** The masks of a schedule. @param dense layers, from the first, in which nothing is skipped */
export function masksOf(drawn: EngineCase, { drifts, skips }: Schedule, dense: number): UnitMask[] {
  const masks = [maskOf(drawn, skips[0], dense)]
  for (const { heads, neurons } of skips.slice(1)) {
    const few = { heads: heads.slice(0, 2), neurons: neurons.slice(0, 2) }
    const changed = maskOf(drawn, drifts ? few : { heads, neurons }, dense)
    const before = masks[masks.length - 1]
    const switched = (kind: keyof Units): Float32Array =>
      before[kind].map((kept, i) => (changed[kind][i] === 0 ? 1 - kept : kept))
    masks.push(drifts ? makeMask(before.shape, switched('heads'), switched('neurons')) : changed)
  }
  return masks
}

/**
 * How a planner is asked: layer by layer, for the whole model after the attention of layer `sourceLayer`, for the whole
 * model when the prompt has run, or for the neurons of every token by their gates.
 */
export interface Asked {
  readonly by: 'attention' | 'layer' | 'prompt' | 'gate'
  readonly sourceLayer: number
  /** Again after every so many tokens; not where it is asked when the prompt has run, or by gates. */
  readonly every?: number
  /** Whether the prompt runs dense in any case. */
  readonly prefill?: Prefill
}
export const askedOnce = {
  by: fc.constantFrom('attention', 'layer', 'prompt', 'gate'),
  sourceLayer: fc.nat({ max: 2 }),
  prefill: fc.constantFrom(undefined, ...prefills),
} as const
export const askedSomehow: fc.Arbitrary<Asked> = fc.record({
  ...askedOnce,
  every: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
})

/** Layers, from the first, that are dense in every mask of a planner that is asked so. */
export function denseLayers({ layers }: EngineCase, { by, sourceLayer }: Asked): number {
  return by === 'attention' ? 1 + (sourceLayer % layers) : 0
}

/** After how many tokens a planner that is asked so is asked again. */
export function everyOf({ by, every = Infinity }: Asked): number {
  return by === 'prompt' ? Infinity : by === 'gate' ? 1 : every
}

/** Whether the prompt runs dense under a planner that is asked so. */
export function leavesPrompt({ by, prefill }: Asked): boolean {
  return by === 'prompt' || by === 'gate' || prefill === 'dense'
}

/** The masks of a schedule as a planner that is asked so has them: all heads are computed where gates decide. */
export function masksFor({ by }: Asked, masks: readonly UnitMask[]): UnitMask[] {
  if (by !== 'gate') return [...masks]
  return masks.map(({ shape, heads, neurons }) =>
    makeMask(shape, new Float32Array(heads.length).fill(1), neurons),
  )
}

/** The masks of a schedule for a planner that is asked so, or for none. */
export function masksUnder(drawn: EngineCase, schedule: Schedule, how: Asked | null): UnitMask[] {
  const masks = masksOf(drawn, schedule, how ? denseLayers(drawn, how) : 0)
  return how ? masksFor(how, masks) : masks
}

/**
 * The input channels that tokens are without, in thousandths of the way through those of a site. Each site of each layer has
 * a list at each token; the lists are used over and over.
 */
export type ChannelSchedule = readonly (readonly number[])[]
export const channelSchedule: fc.Arbitrary<ChannelSchedule> = fc.array(
  fc.array(place, { maxLength: 12, size: 'max' }),
  { minLength: 1, maxLength: 12, size: 'max' },
)

/** The mask [C] of a site of layer l at token t. */
export function channelMaskOf(
  schedule: ChannelSchedule,
  t: number,
  l: number,
  site: ChannelSite,
  C: number,
): Float32Array {
  const mask = new Float32Array(C).fill(1)
  const own = schedule[(5 * t + 3 * l + channelSites.indexOf(site)) % schedule.length]
  for (const place of own) mask[Math.floor((place / 1000) * C)] = 0
  return mask
}

/** What the gates of a layer of the specification let through: the gate by its activation function, of OPT the activations. */
export function gateOf(
  { activation, preActivation: gate }: LayerPass,
  { gated, activation: by }: ModelConfig,
): Tensor {
  if (!gated) return activation
  const ones = new Float32Array(gate.size).fill(1)
  return result(gate.shape, (y) => gates[by].forward(y, gate.data, ones, gate.size))
}

/**
 * What a planner is shown: the context [T, D] of a layer, the stream [T, D] entering it, its activations [T, F], or what its
 * gates let through [T, F].
 */
type Shown = (what: 'context' | 'stream' | 'activation' | 'gate', layer: number, rows: Float32Array) => void

/** Some number for each neuron that depends on all its activations: [F]. @param activations [T, F] */
export function summaryOf(activations: Float32Array, tokens: number): Float32Array {
  const F = activations.length / tokens
  const summary = new Float32Array(F)
  activations.forEach((value, i) => (summary[i % F] += value * (1 + Math.floor(i / F))))
  return summary
}

/**
 * A planner whose masks are chosen when it is asked.
 * @param choose called once for each time it is asked, before `shown`, with the first of what it is shown
 */
export function plannerOf(
  drawn: EngineCase,
  asked: Asked,
  choose: (rows: number, first: Float32Array, ids: Int32Array | null) => UnitMask,
  shown: Shown = () => {},
): MaskPlanner {
  const { by, every, prefill } = asked
  if (by === 'prompt') {
    let layer = 0
    return {
      name: 'drawn',
      by,
      summarize(activations, tokens) {
        shown('activation', layer++, activations)
        return summaryOf(activations, tokens)
      },
      choose({ tokens, summaries, ids }) {
        layer = 0
        return choose(tokens, summaries, ids)
      },
    }
  }
  if (by === 'gate') {
    let mask: UnitMask
    return {
      name: 'drawn',
      by,
      every: 1,
      summarize(layer, gate, tokens) {
        shown('gate', layer, gate)
        return summaryOf(gate, tokens)
      },
      choose(layer, gate, summary) {
        if (layer === 0) mask = choose(1, summary, null)
        shown('gate', layer, gate)
        return layerMask(mask, layer).neurons
      },
    }
  }
  if (by === 'attention') {
    const sourceLayer = asked.sourceLayer % drawn.layers
    return {
      name: 'drawn',
      by,
      sourceLayer,
      every,
      prefill,
      choose(view) {
        const mask = choose(view.tokens, view.context, view.ids)
        shown('context', sourceLayer, view.context)
        return mask
      },
    }
  }
  let mask: UnitMask
  return {
    name: 'drawn',
    by: 'layer',
    every,
    prefill,
    choose(layer, x, rows) {
      if (layer === 0) mask = choose(rows, x, null)
      shown('stream', layer, x)
      const own = layerMask(mask, layer)
      return [own.heads, own.neurons].every((units) => units.every((kept) => kept === 1)) ? null : own
    },
  }
}

/** A mask of the engine as one of the specification. */
export function unitsOf({ shape, heads, neurons }: UnitMask): Units {
  const rows = (table: Float32Array, units: number): Float32Array[] =>
    Array.from({ length: shape.layers }, (_, l) => table.slice(l * units, (l + 1) * units))
  return { heads: rows(heads, shape.heads), neurons: rows(neurons, shape.neurons) }
}

/** Where the parts of a text end. The first part is the prompt. */
export function endsOf(tokens: Int32Array, cuts: readonly number[]): number[] {
  const ends = new Set([...cuts.map((cut) => 1 + (cut % tokens.length)), tokens.length])
  return [...ends].sort((a, b) => a - b)
}

/** Begins a sequence and gives it to `feed` once for each part of a text, tokens `start` to `end`. */
export function eachPart(
  model: LanguageModel,
  tokens: Int32Array,
  cuts: readonly number[],
  options: SequenceOptions,
  feed: (sequence: Sequence, start: number, end: number) => void,
): void {
  withSequence(model, options, (sequence) => {
    for (const end of endsOf(tokens, cuts)) feed(sequence, sequence.length, end)
  })
}

/** The logits [T, V] of a text that is fed in parts. */
export function feedInParts(
  model: LanguageModel,
  tokens: Int32Array,
  cuts: readonly number[],
  options: SequenceOptions = {},
): Float32Array {
  const { vocabulary: V } = model.config
  const logits = new Float32Array(tokens.length * V)
  eachPart(model, tokens, cuts, options, (sequence, start, end) =>
    logits.set(sequence.feed(tokens.slice(start, end), 'all'), start * V),
  )
  return logits
}

/** Compares numbers of the engine with those of the specification. @throws Error naming the first that differs */
export type Compare = typeof sameBits

/** Compares a number of each unit. @throws Error as `compare` */
export function compareUnits(compare: Compare, what: string, found: Units, expected: Units): void {
  for (const kind of unitKinds)
    expected[kind].forEach((row, l) => compare(`${what} of ${kind} of layer ${l}`, found[kind][l], row))
}

/**
 * How a backend is held to the specification: bit for bit; or, if it owes bounds, call by call, and then there is nothing to
 * compare.
 */
export function heldTo(backend: Backend): { readonly backend: Backend; readonly compare: Compare } {
  if (owesBits(backend)) return { backend, compare: sameBits }
  return { backend: judgeCalls(backend), compare: () => {} }
}

/** Loads the model of a case for `work`, which compares it with the specification as the backend owes. */
export async function withEngine(
  { load, backend }: Subject,
  config: ModelConfig,
  tensors: Map<string, HostTensor>,
  options: LoadOptions,
  work: (model: LanguageModel, compare: Compare) => void | Promise<void>,
): Promise<void> {
  const held = heldTo(backend)
  const subject = { load, backend: held.backend }
  await withLoaded(subject, config, tensors, options, (model) => work(model, held.compare))
}

/** A network of a predictor, drawn: numbers that fill its parameters over and over. */
export const networkCase = fc.record({
  hidden: fc.integer({ min: 1, max: 5 }),
  numbers: fc.array(number, { minLength: 1, maxLength: 97, size: 'max' }),
})

/** The parameters of a network for the engine. */
export function networkValues(shape: NetworkShape, numbers: readonly number[]): NetworkValues {
  const lengths = layerParameterLengths(shape)
  return recordOf(layerParameterNames, (name, p) =>
    new Float32Array(lengths[name]).map((_, i) => numbers[(i + 31 * p) % numbers.length]),
  )
}

/** Rows of equal length as a tensor. */
export function tensorOf(rows: readonly (readonly number[])[]): Tensor {
  return tensor(Float32Array.from(rows.flat()), rows.length, rows[0].length)
}

/** Any budget. */
export const anyBudget = fc.record({
  sparsity: fc.oneof(
    fc.integer({ min: 0, max: 40 }).map((n) => n / 40),
    fc.double({ min: 0, max: 1, noNaN: true }),
  ),
  scope: fc.constantFrom('global', 'per-layer', 'hybrid'),
  policy: fc.constantFrom('exact', 'paper-compatible'),
})

/** From `least` to `most` rows of equal length, of up to `columns` numbers. */
const table = (value: fc.Arbitrary<number>, least: number, most: number, columns: number) =>
  fc
    .tuple(
      fc.integer({ min: 1, max: columns }),
      fc.array(fc.array(value, { minLength: columns, maxLength: columns, size: 'max' }), {
        minLength: least,
        maxLength: most,
        size: 'max',
      }),
    )
    .map(([width, rows]) => rows.map((row) => row.slice(0, width)))

/** Scores of up to four layers, with ties, zeros of both signs, infinities and NaN. */
const score = fc.oneof(
  { withCrossShrink: true },
  fc.constantFrom(0, -0, 1, NaN, Infinity, -Infinity),
  fc.float(),
)
export const scoreTables = fc
  .tuple(fc.integer({ min: 1, max: 4 }), table(score, 4, 4, 5), table(score, 4, 4, 40))
  .map(([layers, heads, neurons]) => ({ heads: heads.slice(0, layers), neurons: neurons.slice(0, layers) }))

/** Settings of a training. */
const trainingSettings = {
  hidden: fc.integer({ min: 1, max: 5 }),
  epochs: fc.integer({ min: 0, max: 5 }),
  batch: fc.integer({ min: 1, max: 6 }),
  rate: fc.double({ min: 1e-4, max: 0.1, noNaN: true }),
  decay: fc.double({ min: 0, max: 0.1, noNaN: true }),
  heldOut: fc.double({ min: 0, max: 0.6, noNaN: true }),
  patience: fc.integer({ min: 1, max: 3 }),
  seed: fc.nat(),
}
export const anyTraining = fc.record(trainingSettings)
/** A training, drawn: what each text shows, what is asked of it, and the settings. */
export const trainingCase = fc.record({
  rows: table(number, 2, 9, 6),
  targets: table(number, 9, 9, 7),
  ...trainingSettings,
})
/** Texts to learn from: how much of the text of a case each is, and how much of that is its prompt. */
export const anyTexts = fc.array(fc.record({ length: fc.nat({ max: 11 }), prompt: fc.nat({ max: 11 }) }), {
  minLength: 2,
  maxLength: 6,
  size: 'max',
})

/** What a window says of a text that is from no corpus. */
export const ofNoCorpus = { document: '', genre: '', words: 0 }
/** What a config says of a predictor that learnt from nothing. */
export const aboutNothing = { criterion: 'plainact', seed: 0, examples: 0, dataHash: null }

/** Where a text is cut into feeds. */
export const cuts = fc.array(fc.nat({ max: 11 }), { maxLength: 5, size: 'max' })
/** Which logits a feed is asked for. */
export const logitsWanted = fc.constantFrom<LogitsWanted>('all', 'last', 'none')
/** Bytes that one backend may hold: the whole model, or any part of it. */
export const anyMemory = fc.oneof(fc.constant(2 ** 30), fc.nat({ max: 3000 }))
/** Any way to carry out a mask. */
export const modes = fc.constantFrom(...maskModes)
/** Any storage of weights. */
export const anyStorage = fc.constantFrom(...storages)
/** Any storage of keys and values. */
export const anyCache = fc.constantFrom(...cacheStorages)
/** How a text is run: what weights and the cache are stored as, and how masks are carried out. */
export const anyRun = { storage: anyStorage, cache: anyCache, mode: modes } as const
