/**
 * Small random models of odd sizes, and what the laws of the model judge.
 *
 * A law judges a subject: a backend and a way to load a model on it. The real one is `LanguageModel.load`; a mutant plants a
 * bug in either. Models are lively (weights far larger than OPT's) so that a bug anywhere moves the logits, and come in
 * every architecture: OPT pre- and post-norm, with and without a final norm, tied or not, with an embedding of its own
 * width; the Llama family with groups of heads or not, with a head size of its own, with and without biases. Sizes
 * lie on both sides of the sixteen lanes.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import type { Text } from '../../criteria/pass.ts'
import type { Data } from '../../testing/seeded_data.ts'
import { makeMask, type UnitMask } from '../../masks/mask.ts'
import { families, makeConfig, type Family, type ModelConfig } from '../../engine/config.ts'
import { initialWeights } from '../../engine/initial_weights.ts'
import { activations, type Activation } from '../../ops/activations.ts'
import type { Rotary, RotaryScaling } from '../../ops/rotary.ts'
import { withSequence, type LanguageModel } from '../../engine/language_model.ts'
import type { LoadOptions } from '../../engine/weight_reader.ts'
import type { OptConfig } from '../../spec/opt.ts'
import { memorySource, type HostTensor } from '../../tensor/memory_source.ts'
import { present } from '../../tensor/records.ts'
import type { TensorSource } from '../../tensor/tensor_source.ts'
import { lawForAll, type Law, type LawForAll } from '../law.ts'

/** Loads a model on a backend. */
export type Load = (
  config: ModelConfig,
  source: TensorSource,
  backend: Backend,
  options?: LoadOptions,
) => Promise<LanguageModel>

/** What a law judges. */
export interface Subject {
  readonly backend: Backend
  readonly load: Load
}

/** A law of the whole model. */
export type ModelLaw = Law<Subject>

/** The plain data a model is made from. */
export interface ModelCase extends Omit<OptConfig, 'width'> {
  /** Width of the token table; 0 for the model's own. */
  readonly embeddingWidth: number
  /** What a model of the Llama family has besides; null or nothing for one of OPT. */
  readonly llama?: LlamaCase | null
  /** Of weights, tokens and masks. */
  readonly seed: number
}

/** How a model of the Llama family, or of another that has its configuration, differs from others of its sizes. */
interface LlamaCase {
  /** Default llama. */
  readonly family?: Family
  /** Which of the divisors of the heads is the number of key heads. */
  readonly groups: number
  /** Pairs of numbers in a head: half a head size of its own. */
  readonly pairs: number
  /** Whether query, key and value have biases. */
  readonly biases: boolean
  readonly rotary: Rotary
  /** Pairs of a head that are rotated, if there are as many; without, all are. */
  readonly rotated?: number | undefined
  /** The base of each layer, 0 for one that does not rotate; without, all rotate alike. */
  readonly bases?: readonly number[] | undefined
  /** How many positions a token sees in each layer; null for all. Without it no layer has a window. */
  readonly windows?: readonly (number | null)[] | undefined
  readonly scoreScale?: number | undefined
  readonly scoreCap?: number | undefined
  readonly epsilon: number
  /** Default silu. */
  readonly activation?: Activation
  /** Without, rows of the token table enter the first layer as they are. */
  readonly embeddingScale?: number | undefined
  /** What norms add to their weights; default what the family adds. */
  readonly normOffset?: number | undefined
  readonly logitCap?: number | undefined
}

const scaling: fc.Arbitrary<RotaryScaling | null> = fc.oneof(
  fc.constant(null),
  fc.record({ kind: fc.constant('linear'), factor: fc.integer({ min: 1, max: 8 }) }),
  fc.record({
    kind: fc.constant('llama3'),
    factor: fc.integer({ min: 1, max: 8 }),
    lowFrequencyFactor: fc.constant(1),
    highFrequencyFactor: fc.integer({ min: 2, max: 4 }),
    originalPositions: fc.integer({ min: 1, max: 64 }),
  }),
)

const anyLlama: fc.Arbitrary<LlamaCase> = fc.record({
  family: fc.constantFrom(...families.filter((family) => family !== 'opt')),
  groups: fc.nat({ max: 2 }),
  pairs: fc.integer({ min: 1, max: 5 }),
  biases: fc.boolean(),
  rotary: fc.record({ base: fc.constantFrom(10_000, 3, 500_000), scaling }),
  rotated: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
  bases: fc.option(fc.array(fc.constantFrom(0, 10_000, 5), { minLength: 3, maxLength: 3, size: 'max' }), {
    nil: undefined,
  }),
  windows: fc.option(
    fc.array(fc.constantFrom(null, 1, 2, 5, 70), { minLength: 3, maxLength: 3, size: 'max' }),
    { nil: undefined },
  ),
  scoreScale: fc.constantFrom(undefined, 0.2),
  scoreCap: fc.constantFrom(undefined, 3),
  epsilon: fc.constantFrom(1e-5, 1e-6, 1e-2),
  activation: fc.constantFrom(...activations),
  embeddingScale: fc.option(fc.constantFrom(0.5, 3), { nil: undefined }),
  normOffset: fc.constantFrom(undefined, 0, 1),
  logitCap: fc.constantFrom(undefined, 4),
})

/** What the sizes of a model are drawn from. */
export const sizes = {
  layers: fc.integer({ min: 1, max: 3 }),
  heads: fc.integer({ min: 1, max: 6 }),
  headSize: fc.integer({ min: 1, max: 9 }),
  neurons: fc.integer({ min: 1, max: 37 }),
  vocabulary: fc.integer({ min: 3, max: 35 }),
  positions: fc.integer({ min: 2, max: 20 }),
  embeddingWidth: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 })),
  preNorm: fc.boolean(),
  finalNorm: fc.boolean(),
  tied: fc.boolean(),
  llama: fc.option(anyLlama),
  seed: fc.integer(),
}

/** Any small model. */
export const anyModel: fc.Arbitrary<ModelCase> = fc.record(sizes)

/** Models wide enough that a layer norm does not magnify rounding: for laws with a bound. */
export const roomyModel: fc.Arbitrary<ModelCase> = fc.record({
  ...sizes,
  heads: fc.integer({ min: 2, max: 4 }),
  headSize: fc.integer({ min: 4, max: 9 }),
})

/** The configuration of a case. */
export function configOf(model: Omit<ModelCase, 'seed'>): ModelConfig {
  const { layers, heads, neurons, vocabulary, positions, tied, llama } = model
  const width = heads * model.headSize
  const shared = { layers, width, heads, neurons, vocabulary, positions, tied }
  if (!llama) {
    const { preNorm, finalNorm } = model
    return makeConfig({ ...shared, preNorm, finalNorm, embeddingWidth: model.embeddingWidth || width })
  }
  const divisors = Array.from({ length: heads }, (_, i) => i + 1).filter((G) => heads % G === 0)
  const { rotated, pairs } = llama
  const rotary = rotated ? { ...llama.rotary, size: 2 * Math.min(rotated, pairs) } : llama.rotary
  return makeConfig({
    ...shared,
    family: llama.family ?? 'llama',
    keyHeads: divisors[llama.groups % divisors.length],
    headSize: 2 * llama.pairs,
    biases: llama.biases ? 'query-key-value' : 'none',
    rotary,
    ...(llama.bases && { layerRotary: llama.bases.slice(0, layers).map((base) => rotaryOf(rotary, base)) }),
    ...(llama.windows && { layerWindow: llama.windows.slice(0, layers) }),
    epsilon: llama.epsilon,
    activation: llama.activation ?? 'silu',
    ...present({
      embeddingScale: llama.embeddingScale,
      normOffset: llama.normOffset,
      scoreScale: llama.scoreScale,
      scoreCap: llama.scoreCap,
      logitCap: llama.logitCap,
    }),
  })
}

/** The rotations of a layer. */
function rotaryOf(rotary: Rotary, base: number): Rotary | null {
  return base === 0 ? null : base === rotary.base ? rotary : { ...rotary, base }
}

/** The weights of a case. */
export function tensorsOf(model: ModelCase): Map<string, HostTensor> {
  return initialWeights(configOf(model), { seed: model.seed, deviation: 0.4, biasDeviation: 0.3 })
}

/** Loads a model, gives it to `work`, and frees it. @returns what `work` does */
export async function withLoaded<Result>(
  { load, backend }: Subject,
  config: ModelConfig,
  tensors: ReadonlyMap<string, HostTensor>,
  options: LoadOptions,
  work: (model: LanguageModel) => Result | Promise<Result>,
): Promise<Result> {
  const model = await load(config, memorySource(tensors), backend, options)
  try {
    return await work(model)
  } finally {
    model.dispose()
  }
}

/** The same with the model of a case. @param tensors its weights, if they are others */
export function withModel<Result>(
  subject: Subject,
  model: ModelCase,
  work: (model: LanguageModel) => Result | Promise<Result>,
  tensors: ReadonlyMap<string, HostTensor> = tensorsOf(model),
  options: LoadOptions = {},
): Promise<Result> {
  return withLoaded(subject, configOf(model), tensors, options, work)
}

/** From one token to as many as there are positions. */
export function tokensOf(model: ModelCase, data: Data): Int32Array {
  return data.ids('tokens', data.whole('length', 1, model.positions), model.vocabulary)
}

/** Two tokens or more, the last half of which is scored. */
export function textOf(model: ModelCase, data: Data): Text {
  const tokens = data.ids('tokens', data.whole('length', 2, model.positions), model.vocabulary)
  const labels = tokens.slice()
  labels.fill(-100, 0, Math.max(1, labels.length >> 1))
  return { tokens, labels }
}

/** A mask of zeros and ones; now and then a kind or a whole layer is all zeros or all ones. */
export function maskOf(model: ModelCase, data: Data): UnitMask {
  const { layers, heads, neurons } = model
  const table = (name: string, units: number): Float32Array => {
    let share = 1
    return data.mask(name, [layers, units], (stream, place) => {
      if (place % units === 0) share = stream.pick([0, 0.5, 0.5, 0.5, 1])
      return stream.chance(share)
    })
  }
  return makeMask(
    { layers, heads, neurons },
    table('mask of heads', heads),
    table('mask of neurons', neurons),
  )
}

/** Runs one sequence and frees it. */
export function feedOnce(
  model: LanguageModel,
  tokens: Int32Array,
  options: Parameters<LanguageModel['begin']>[0] = {},
): Float32Array {
  return withSequence(model, options, (sequence) => sequence.feed(tokens, 'all'))
}

/** A law for all arguments drawn from the arbitraries. */
export const forAll: LawForAll<Subject> = lawForAll
