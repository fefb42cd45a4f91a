/**
 * The shape of a model, from its Hugging Face config.json. What stands here goes into the program of its family
 * (`src/spec`), and the engine runs that.
 *
 * Every field that changes a number is typed and ranged; sizes have no defaults, the rest has those of Hugging Face.
 * What would need arithmetic that is not here (another activation, other biases, plain layer norms, other rotations) is
 * refused by name. Fields about dropout, training and generation are not ours. Fields that name remote code are never
 * followed; `remoteCodeFields` lists them so that a user can be told.
 */
import { MAX_CONTEXT } from '../ops/attention.ts'
import type { Activation } from '../ops/activations.ts'
import type { Rotary, RotaryScaling } from '../ops/rotary.ts'
import { InputError } from '../tensor/errors.ts'
import { quote } from '../tensor/quote.ts'
import { normsAllHeads } from './program.ts'

/** How parameters are called; everything else that tells the families apart has a field of its own. */
export const families = ['opt', 'llama', 'qwen3', 'olmo2', 'gemma2', 'gemma3'] as const

/** A family of models. */
export type Family = (typeof families)[number]

/** The families in words. */
export const familyWords: Readonly<Record<Family, string>> = {
  opt: 'OPT',
  llama: 'Llama family',
  qwen3: 'Qwen3',
  olmo2: 'OLMo 2',
  gemma2: 'Gemma 2',
  gemma3: 'Gemma 3',
}

/** The sizes and switches of a model. */
export interface ModelConfig {
  /** Which function computes a layer, such as `opt` or `llama`. */
  readonly family: Family
  readonly layers: number // L
  readonly width: number // D
  readonly heads: number // H
  /** Heads of keys and values; a divisor of H, and H itself without groups. */
  readonly keyHeads: number // G
  readonly headSize: number // K
  readonly neurons: number // F, per layer
  readonly vocabulary: number // V
  /** Width of the token table; where it is not D, project_in and project_out stand between. */
  readonly embeddingWidth: number // E
  /** The longest sequence. A position table has two rows more. */
  readonly positions: number
  /** The constant under the root of norms. */
  readonly epsilon: number
  /** A norm before each branch (all but OPT-350m), or after each residual sum. */
  readonly preNorm: boolean
  /** A norm after the last layer; never with post-norm. */
  readonly finalNorm: boolean
  /** What queries and keys are rotated by; null for a model with a position table. */
  readonly rotary: Rotary | null
  /** The same of each layer, where they differ; null for one that does not rotate. */
  readonly layerRotary?: readonly (Rotary | null)[] // [L]
  /** How many positions a token sees in each layer, its own the last of them; null for all. Without it no layer has a window. */
  readonly layerWindow?: readonly (number | null)[] // [L]
  /** What attention's scores are multiplied by; K^-1/2 without it. */
  readonly scoreScale?: number
  /** The cap c of attention's scores, each of which becomes c tanh(s / c); none without it. */
  readonly scoreCap?: number
  /** Whether queries or keys are normed over several heads of a layer, so that no row of them is one head's alone; by the program. */
  readonly normsAllHeads?: true
  /** What rows of the token table are multiplied by before the first layer; nothing without. */
  readonly embeddingScale?: number
  /** What is added to the weights of norms when they are read; nothing without. */
  readonly normOffset?: number
  /** The cap c of logits, each of which becomes c tanh(s / c); none without it. */
  readonly logitCap?: number
  /** Whether neurons have a gate: act(gate) times up, in place of act(fc1). */
  readonly gated: boolean
  /** The function that a neuron's input goes through. */
  readonly activation: Activation
  /** Which matrices of a layer have a bias. */
  readonly biases: 'all' | 'query-key-value' | 'none'
  /** The lm_head is the token table. */
  readonly tied: boolean
  /** The token before a text, where the family has one. */
  readonly bosId: number
  /** Tokens that end a text; the first one is written where one is needed. */
  readonly eosIds: readonly number[]
  /** Its row of the token table learns nothing from the embedding. */
  readonly padId: number | null
}

/** What a configuration made by hand must say; the rest follows or has the usual value of its family. */
export type ModelSizes = Pick<
  ModelConfig,
  'layers' | 'width' | 'heads' | 'neurons' | 'vocabulary' | 'positions'
> &
  Partial<Omit<ModelConfig, 'normsAllHeads'>>

const usualLlama = {
  epsilon: 1e-6,
  preNorm: true,
  rotary: { base: 10_000, scaling: null },
  gated: true,
  activation: 'silu',
  biases: 'none',
  tied: false,
  bosId: 1,
  eosIds: [2],
  padId: null,
} as const

/** The defaults of a family. */
const usual = {
  opt: {
    epsilon: 1e-5,
    preNorm: true,
    rotary: null,
    gated: false,
    activation: 'relu',
    biases: 'all',
    tied: true,
    bosId: 2,
    eosIds: [2],
    padId: 1,
  },
  llama: usualLlama,
  qwen3: usualLlama,
  olmo2: usualLlama,
  gemma2: { ...usualLlama, activation: 'gelu_tanh', normOffset: 1, tied: true },
  gemma3: { ...usualLlama, activation: 'gelu_tanh', normOffset: 1, tied: true },
} as const satisfies Record<Family, Partial<ModelConfig>>

/** The models that are read, in words, by their `model_type`. */
export const modelTypes = {
  opt: 'OPT',
  llama: 'Llama',
  mistral: 'Mistral',
  qwen2: 'Qwen2',
  qwen3: 'Qwen3',
  phi3: 'Phi-3 and Phi-4-mini',
  smollm3: 'SmolLM3',
  olmo2: 'OLMo 2',
  gemma2: 'Gemma 2',
  gemma3_text: 'Gemma 3 (text)',
} as const

/** What reads the fields of each `model_type`. */
const readers = {
  opt: readOpt,
  llama: readLlama,
  mistral: readLlama,
  qwen2: readLlama,
  qwen3: likeLlama('qwen3', { head_dim: 128 }),
  phi3: likeLlama('llama', { rms_norm_eps: 1e-5, eos_token_id: 32_000 }),
  smollm3: readSmollm3,
  olmo2: likeLlama('olmo2', { rms_norm_eps: 1e-5 }),
  gemma2: readGemma2,
  gemma3_text: readGemma3,
} as const satisfies Record<keyof typeof modelTypes, (fields: Fields) => ModelConfig>

/** Activation functions by their names in a config.json. */
const activationNames = {
  silu: 'silu',
  relu: 'relu',
  gelu_pytorch_tanh: 'gelu_tanh',
} as const satisfies Record<string, Activation>

/**
 * A configuration from sizes, for a model that is made rather than read; `parseConfig` reads one.
 * @throws InputError CONFIG_HEADS if heads do not divide the width, or groups the heads, or a head has no pairs to rotate, or
 *   not as many as the scaling of its rotations
 * @example
 * ```ts
 * import { createBackend } from 'shadowllm/backends'
 * import { initialWeights, LanguageModel, makeConfig, memorySource } from 'shadowllm/model'
 *
 * const config = makeConfig({ vocabulary: 100, width: 16, layers: 2, heads: 2, neurons: 64, positions: 32 })
 * const backend = await createBackend('wasm')
 * const model = await LanguageModel.load(config, memorySource(initialWeights(config)), backend)
 * console.log(model.shape)
 * model.dispose()
 * backend.dispose()
 * ```
 */
export function makeConfig(sizes: ModelSizes): ModelConfig {
  const { width, heads, family = 'opt', keyHeads = heads } = sizes
  if (sizes.headSize === undefined && width % heads !== 0)
    throw new InputError(
      'CONFIG_HEADS',
      `num_attention_heads: expected a divisor of hidden_size ${width}, got ${heads}`,
    )
  if (heads % keyHeads !== 0)
    throw new InputError(
      'CONFIG_HEADS',
      `num_key_value_heads: expected a divisor of num_attention_heads ${heads}, got ${keyHeads}`,
    )
  const { headSize = width / heads, preNorm = true, rotary = usual[family].rotary } = sizes
  if (rotary !== null && headSize % 2 !== 0)
    throw new InputError('CONFIG_HEADS', `head_dim: expected an even number to rotate, got ${headSize}`)
  const { size: rotated = headSize }: Partial<Rotary> = rotary ?? {}
  if (rotary?.scaling?.kind === 'factors' && rotary.scaling.factors.length !== rotated / 2)
    throw new InputError(
      'CONFIG_HEADS',
      `rope_scaling factors: expected ${rotated / 2} for heads of ${rotated}, got ${rotary.scaling.factors.length}`,
    )
  const config = {
    ...usual[family],
    embeddingWidth: width,
    ...sizes,
    family,
    headSize,
    keyHeads,
    preNorm,
    finalNorm: preNorm && (sizes.finalNorm ?? true),
  }
  return { ...config, ...(normsAllHeads(config) && { normsAllHeads: true }) }
}

/** The width of the heads' outputs, side by side: H K. */
export function contextWidth({ heads, headSize }: Pick<ModelConfig, 'heads' | 'headSize'>): number {
  return heads * headSize
}

/** The widths of what predictors read, as their files have them. */
export interface FeatureWidths {
  /** D, of the stream. */
  readonly width: number
  /** H K, of the heads' outputs; absent where that is D. */
  readonly contextWidth?: number
}

/** Whether gates are zero, not near it, where they let nothing through: skipping such a neuron changes nothing. */
export function hasZeroGates({ activation }: Pick<ModelConfig, 'activation'>): boolean {
  return activation === 'relu'
}

/** Whether the MLPs have a gate, so that no neuron is zero by itself. */
export function isGated({ gated }: ModelConfig): boolean {
  return gated
}

/** The widths of what a model shows predictors. */
export function featureWidths(config: ModelConfig): FeatureWidths {
  const { width } = config
  return contextWidth(config) === width ? { width } : { width, contextWidth: contextWidth(config) }
}

/** "width 576", and the width of the heads' outputs where that is another. */
export function describeWidths({ width, contextWidth }: FeatureWidths): string {
  const isOther = contextWidth !== undefined && contextWidth !== width
  return `width ${width}${isOther ? `, heads together ${contextWidth}` : ''}`
}

const MAX_LAYERS = 1024
const MAX_WIDTH = 2 ** 20
/** What a checkpoint may say it was trained for; sequences end at MAX_CONTEXT. */
const MAX_TRAINED_CONTEXT = 2 ** 24
const MAX_VOCABULARY = 2 ** 24

/**
 * The configuration of a model from the `config.json` of Hugging Face, for `LanguageModel.load`. Its family must be known here.
 * @param json what JSON.parse gives of the file
 * @param path of the file, which errors then name
 * @throws InputError CONFIG_NOT_OBJECT, CONFIG_MODEL_TYPE, CONFIG_MISSING, CONFIG_TYPE, CONFIG_RANGE, CONFIG_HEADS,
 *   CONFIG_ACTIVATION, CONFIG_UNSUPPORTED
 */
export function parseConfig(json: unknown, path?: string): ModelConfig {
  try {
    return readFields(json)
  } catch (error) {
    if (path === undefined || !(error instanceof InputError)) throw error
    throw new InputError(error.code, `${path} ${error.message}`, { cause: error })
  }
}

/**
 * @throws InputError CONFIG_MODEL_TYPE for a family that is not supported; CONFIG_ACTIVATION for an activation that its family does not
 *   have here; CONFIG_UNSUPPORTED for a field whose value changes what is computed and is not supported
 */
function readFields(json: unknown): ModelConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new InputError('CONFIG_NOT_OBJECT', `config: expected an object, got ${describe(json)}`)
  const fields = json as Fields
  expectValue(fields, 'model_type', Object.keys(readers), undefined, 'CONFIG_MODEL_TYPE')
  return readers[field(fields, 'model_type') as keyof typeof readers](fields)
}

function readOpt(fields: Fields): ModelConfig {
  expectValue(fields, 'activation_function', ['relu'], 'relu', 'CONFIG_ACTIVATION')
  expectValue(fields, 'enable_bias', [true], true, 'CONFIG_UNSUPPORTED')
  expectValue(fields, 'layer_norm_elementwise_affine', [true], true, 'CONFIG_UNSUPPORTED')
  const sizes = readSizes(fields)
  const { width, vocabulary } = sizes
  return makeConfig({
    ...sizes,
    neurons: readWhole(fields, 'ffn_dim', 1, MAX_WIDTH),
    embeddingWidth: readWhole(fields, 'word_embed_proj_dim', 1, MAX_WIDTH, width),
    positions: readWhole(fields, 'max_position_embeddings', 1, MAX_CONTEXT),
    preNorm: readFlag(fields, 'do_layer_norm_before', true),
    finalNorm: !readFlag(fields, '_remove_final_layer_norm', false),
    tied: readFlag(fields, 'tie_word_embeddings', true),
    bosId: readWhole(fields, 'bos_token_id', 0, vocabulary - 1, 2),
    eosIds: [readWhole(fields, 'eos_token_id', 0, vocabulary - 1, 2)],
    padId: readWhole(fields, 'pad_token_id', 0, vocabulary - 1, 1),
  })
}

/** Llama, Mistral and Qwen. */
function readLlama(all: Fields): ModelConfig {
  const fields = withoutNulls(all)
  const isQwen2 = field(fields, 'model_type') === 'qwen2'
  const isQwen = isQwen2 || field(fields, 'model_type') === 'qwen3'
  expectValue(fields, 'hidden_act', Object.keys(activationNames), 'silu', 'CONFIG_ACTIVATION')
  expectValue(fields, 'attention_bias', [false], false, 'CONFIG_UNSUPPORTED')
  expectValue(fields, 'mlp_bias', [false], false, 'CONFIG_UNSUPPORTED')
  expectValue(fields, 'quantization_config', [undefined], undefined, 'CONFIG_UNSUPPORTED')
  const sizes = readSizes(fields)
  const { width, heads, vocabulary } = sizes
  const headSize = readWhole(fields, 'head_dim', 1, MAX_WIDTH, Math.max(1, Math.floor(width / heads)))
  const trained = readWhole(fields, 'max_position_embeddings', 1, MAX_TRAINED_CONTEXT)
  const positions = Math.min(trained, originalOf(fields, trained), MAX_CONTEXT)
  const eosIds = readIds(fields, 'eos_token_id', vocabulary, isQwen ? 0 : 2)
  const padId = isNothing(fields, 'pad_token_id') ? -1 : readWhole(fields, 'pad_token_id', -1, vocabulary - 1)
  return makeConfig({
    ...sizes,
    family: 'llama',
    keyHeads: readWhole(fields, 'num_key_value_heads', 1, heads, heads),
    ...(isNothing(fields, 'head_dim') ? {} : { headSize: readWhole(fields, 'head_dim', 1, MAX_WIDTH) }),
    neurons: readWhole(fields, 'intermediate_size', 1, MAX_WIDTH),
    positions,
    epsilon: readNumber(fields, 'rms_norm_eps', 1e-12, 1, 1e-6),
    rotary: readRotary(fields, headSize),
    ...windowsOf(fields, sizes.layers, positions),
    activation: activationNames[(field(fields, 'hidden_act') ?? 'silu') as keyof typeof activationNames],
    biases: isQwen2 ? 'query-key-value' : 'none',
    tied: readFlag(fields, 'tie_word_embeddings', false),
    // Qwen has no token that begins a text; where one is needed, the one that ends a text stands for it.
    bosId: readWhole(fields, 'bos_token_id', 0, vocabulary - 1, isQwen ? eosIds[0] : 1),
    eosIds,
    padId: padId < 0 ? null : padId,
  })
}

/** The fields of Llama, some of which have other defaults. */
function likeLlama(family: Family, usual: Fields): (fields: Fields) => ModelConfig {
  return (fields) => makeConfig({ ...readLlama({ ...usual, ...withoutNulls(fields) }), family })
}

/** SmolLM3: the fields of Llama, and which layers rotate: those whose `no_rope_layers` is 1. */
function readSmollm3(all: Fields): ModelConfig {
  const fields = withoutNulls(all)
  const config = readLlama({ rope_theta: 2e6, tie_word_embeddings: true, ...fields })
  const interval = readWhole(fields, 'no_rope_layer_interval', 1, MAX_LAYERS, 4)
  const usual = Array.from({ length: config.layers }, (_, l) => ((l + 1) % interval === 0 ? 0 : 1))
  const rotates = readForLayers(fields, 'no_rope_layers', [0, 1], usual)
  return { ...config, layerRotary: rotates.map((one) => (one === 1 ? config.rotary : null)) }
}

/** Gemma 2: the fields of Llama, and those of `readGemma`. Every other layer slides, from the first on. */
function readGemma2(all: Fields): ModelConfig {
  const usual = { attn_logit_softcapping: 50, final_logit_softcapping: 30, sliding_window_pattern: 2 }
  return readGemma('gemma2', withoutNulls({ ...usual, ...all }))
}

/** Gemma 3: the fields of Llama, and those of `readGemma`; layers that slide have rotations of their own. */
function readGemma3(all: Fields): ModelConfig {
  const fields: Fields = { sliding_window_pattern: 6, ...withoutNulls(all) }
  const both = readObject(fields, 'rope_parameters')
  const [full, sliding] = ['full_attention', 'sliding_attention'].map((kind) =>
    both === null ? null : readObject(both, kind),
  )
  const config = readGemma('gemma3', { rope_theta: 1e6, ...fields, ...(full && { rope_parameters: full }) })
  const local = sliding ?? { rope_theta: field(fields, 'rope_local_base_freq') ?? 10_000 }
  const rotary = readRotary({ rope_parameters: local }, config.headSize)
  const types = typesOf(fields, config.layers, 0)
  return { ...config, layerRotary: types.map((type) => (type === 'full_attention' ? config.rotary : rotary)) }
}

/**
 * What Gemma 2 and 3 share: embeddings times √D, as float32; weights of norms without their 1, which a GGUF file has added
 * (`rms_norm_offset` 0); windows in the layers that `layer_types` names, or in all but each `sliding_window_pattern`-th.
 */
function readGemma(family: Family, fields: Fields): ModelConfig {
  expectValue(fields, 'use_bidirectional_attention', [false], false, 'CONFIG_UNSUPPORTED')
  const config = readLlama({
    head_dim: 256,
    tie_word_embeddings: true,
    bos_token_id: 2,
    eos_token_id: 1,
    pad_token_id: 0,
    sliding_window: 4096,
    ...fields,
    use_sliding_window: true,
    hidden_act: field(fields, 'hidden_activation') ?? 'gelu_pytorch_tanh',
  })
  const capOf = (name: string): number | undefined =>
    isNothing(fields, name) ? undefined : readNumber(fields, name, 1e-6, 1e6)
  return makeConfig({
    ...config,
    family,
    embeddingScale: Math.fround(Math.sqrt(config.width)),
    normOffset: readWhole(fields, 'rms_norm_offset', 0, 1, 1),
    scoreScale: readNumber(fields, 'query_pre_attn_scalar', 1e-6, 1e6, 256) ** -0.5,
    scoreCap: capOf('attn_logit_softcapping'),
    logitCap: capOf('final_logit_softcapping'),
  })
}

/** One of a few values for each layer. */
function readForLayers<const Value extends string | number>(
  fields: Fields,
  name: string,
  allowed: readonly Value[],
  usual: readonly Value[],
): readonly Value[] {
  const values = field(fields, name) ?? usual
  if (!Array.isArray(values) || values.length !== usual.length)
    throw new InputError(
      'CONFIG_TYPE',
      `${name}: expected a list for ${usual.length} layers, got ${Array.isArray(values) ? `one of ${values.length}` : describe(values)}`,
    )
  return values.map((value: unknown, l) => {
    expectValue({ [`${name}[${l}]`]: value }, `${name}[${l}]`, allowed, undefined, 'CONFIG_UNSUPPORTED')
    return value as Value
  })
}

/** The fields that have the same name in all families. */
function readSizes(fields: Fields): Pick<ModelConfig, 'layers' | 'width' | 'heads' | 'vocabulary'> {
  const width = readWhole(fields, 'hidden_size', 1, MAX_WIDTH)
  return {
    layers: readWhole(fields, 'num_hidden_layers', 1, MAX_LAYERS),
    width,
    heads: readWhole(fields, 'num_attention_heads', 1, width),
    vocabulary: readWhole(fields, 'vocab_size', 1, MAX_VOCABULARY),
  }
}

/** Names of layers in `layer_types`. */
const layerTypes = ['full_attention', 'sliding_attention'] as const

/**
 * The windows of layers, where any slides: of those that `layer_types` name, else of all but each `sliding_window_pattern`-th, else
 * of Qwen's from `max_window_layers` on, else of all.
 */
function windowsOf(fields: Fields, layers: number, positions: number): Pick<ModelConfig, 'layerWindow'> {
  const type = field(fields, 'model_type')
  const isQwen = type === 'qwen2' || type === 'qwen3'
  const slides = readFlag(fields, 'use_sliding_window', type === 'mistral' || isPhi3(fields))
  if (!slides || isNothing(fields, 'sliding_window')) return {}
  const window = readWhole(fields, 'sliding_window', 1, MAX_TRAINED_CONTEXT)
  const types = typesOf(
    fields,
    layers,
    isQwen ? readWhole(fields, 'max_window_layers', 0, MAX_LAYERS, 28) : 0,
  )
  const layerWindow = types.map((one) => (one === 'sliding_attention' && window < positions ? window : null))
  return layerWindow.some((one) => one !== null) ? { layerWindow } : {}
}

/** Which layers slide: those of `layer_types`, or from `first` on all but each `sliding_window_pattern`-th. */
function typesOf(fields: Fields, layers: number, first: number): readonly (typeof layerTypes)[number][] {
  const pattern = readWhole(fields, 'sliding_window_pattern', 1, MAX_LAYERS + 1, MAX_LAYERS + 1)
  const usual = Array.from({ length: layers }, (_, l) => layerTypes[l >= first && (l + 1) % pattern ? 1 : 0])
  return readForLayers(fields, 'layer_types', layerTypes, usual)
}

function isPhi3(fields: Fields): boolean {
  return field(fields, 'model_type') === 'phi3'
}

/** The rotations of Phi-3 that have other factors past the context that the model was first trained for. */
const LONGROPE = 'longrope'

/** The length up to which rotations have the short factors of `longrope`; `otherwise` where they are the same for all lengths. */
function originalOf(fields: Fields, otherwise: number): number {
  const scaling = readObject(fields, 'rope_parameters') ?? readObject(fields, 'rope_scaling') ?? {}
  if (!isPhi3(fields) || kindOf(scaling) !== LONGROPE) return otherwise
  const name = 'original_max_position_embeddings'
  return readWhole(isNothing(scaling, name) ? fields : scaling, name, 2, MAX_TRAINED_CONTEXT)
}

/** `rope_theta` and `rope_scaling`, or `rope_parameters`, which has both. @param K numbers of a head */
function readRotary(fields: Fields, K: number): Rotary {
  const both = readObject(fields, 'rope_parameters')
  const scaling = both ?? readObject(fields, 'rope_scaling')
  const base = readNumber(both ?? fields, 'rope_theta', 1, 1e12, 10_000)
  const own = both === null || isNothing(both, 'partial_rotary_factor') ? fields : both
  if (!isPhi3(fields)) expectValue(own, 'partial_rotary_factor', [1], 1, 'CONFIG_UNSUPPORTED')
  const share = readNumber(own, 'partial_rotary_factor', 0, 1, 1)
  // A share that is a quotient may lie below it by its rounding.
  const size = Math.floor(K * share + 1e-9)
  if (size < K && (size === 0 || size % 2 !== 0))
    throw new InputError(
      'CONFIG_HEADS',
      `partial_rotary_factor: expected an even part of ${K} numbers, got ${size}`,
    )
  return { base, scaling: scaling && readScaling(scaling, fields), ...(size < K && { size }) }
}

/** The kind of a scaling, under its new name or its old one. */
function kindOf(scaling: Fields): unknown {
  return field(scaling, field(scaling, 'rope_type') === undefined ? 'type' : 'rope_type')
}

function readScaling(fields: Fields, all: Fields): RotaryScaling | null {
  const name = field(fields, 'rope_type') === undefined ? 'type' : 'rope_type'
  const kinds = ['default', 'linear', 'llama3', 'factors', ...(isPhi3(all) ? [LONGROPE] : [])]
  expectValue(fields, name, kinds, 'default', 'CONFIG_UNSUPPORTED')
  const kind = kindOf(fields)
  if (kind === 'factors') {
    const magnitude = isNothing(fields, 'magnitude')
      ? {}
      : { magnitude: readNumber(fields, 'magnitude', 0.1, 10) }
    return { kind, factors: readFactors(fields, 'factors'), ...magnitude }
  }
  if (kind === LONGROPE) {
    const original = originalOf(all, 1)
    const longer = readWhole(all, 'max_position_embeddings', 1, MAX_TRAINED_CONTEXT) / original
    const usual = longer <= 1 ? 1 : Math.sqrt(1 + Math.log(longer) / Math.log(original))
    const magnitude = readNumber(fields, 'attention_factor', 0.1, 10, usual)
    return { kind: 'factors', factors: readFactors(fields, 'short_factor'), magnitude }
  }
  if (kind === 'linear') return { kind, factor: readNumber(fields, 'factor', 1, 1e6) }
  if (kind !== 'llama3') return null
  return {
    kind,
    factor: readNumber(fields, 'factor', 1, 1e6),
    lowFrequencyFactor: readNumber(fields, 'low_freq_factor', 0, 1e6),
    highFrequencyFactor: readNumber(fields, 'high_freq_factor', 0, 1e6),
    originalPositions: readWhole(fields, 'original_max_position_embeddings', 1, MAX_TRAINED_CONTEXT),
  }
}

/** A divisor for each frequency; `makeConfig` checks their number. Of Hugging Face's files those of Phi-3 have them, a GGUF file may. */
function readFactors(fields: Fields, name: string): readonly number[] {
  const value = field(fields, name)
  if (!Array.isArray(value))
    throw new InputError('CONFIG_TYPE', `${name}: expected a list of numbers, got ${describe(value)}`)
  return value.map((factor: unknown, i) =>
    readNumber({ [`${name}[${i}]`]: factor }, `${name}[${i}]`, 1e-6, 1e6),
  )
}

/** Fields of a config.json that would have Hugging Face run code from the repository. Nothing here follows them. */
export function remoteCodeFields(json: unknown): string[] {
  if (typeof json !== 'object' || json === null) return []
  return ['auto_map', 'custom_pipelines', 'trust_remote_code'].filter((name) => Object.hasOwn(json, name))
}

type Fields = Readonly<Record<string, unknown>>

/** A field of the file itself: nothing is inherited, "__proto__" is a name like any other. */
function field(fields: Fields, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined
}

function readWhole(fields: Fields, name: string, least: number, most: number, otherwise?: number): number {
  const value = field(fields, name)
  if (value === undefined) {
    if (otherwise === undefined)
      throw new InputError('CONFIG_MISSING', `${name}: expected a whole number, got nothing`)
    if (otherwise >= least && otherwise <= most) return otherwise
    throw outOfRange(name, least, most, `the default ${otherwise}`)
  }
  if (typeof value !== 'number' || !Number.isInteger(value))
    throw new InputError('CONFIG_TYPE', `${name}: expected a whole number, got ${describe(value)}`)
  if (value < least || value > most) throw outOfRange(name, least, most, String(value))
  // Adding 0 makes 0 of -0.
  return value + 0
}

/** One id or a list of them. */
function readIds(fields: Fields, name: string, vocabulary: number, otherwise: number): readonly number[] {
  const value = field(fields, name)
  if (!Array.isArray(value)) return [readWhole(fields, name, 0, vocabulary - 1, otherwise)]
  if (value.length === 0) throw new InputError('CONFIG_RANGE', `${name}: expected at least one id, got none`)
  return value.map((id: unknown, i) =>
    readWhole({ [`${name}[${i}]`]: id }, `${name}[${i}]`, 0, vocabulary - 1),
  )
}

function readNumber(fields: Fields, name: string, least: number, most: number, otherwise?: number): number {
  const value = field(fields, name) ?? otherwise
  if (value === undefined) throw new InputError('CONFIG_MISSING', `${name}: expected a number, got nothing`)
  if (typeof value !== 'number')
    throw new InputError('CONFIG_TYPE', `${name}: expected a number, got ${describe(value)}`)
  if (!(value >= least && value <= most)) throw outOfRange(name, least, most, String(value))
  return value
}

/** An object, or null where there is none. */
function readObject(fields: Fields, name: string): Fields | null {
  const value = field(fields, name) ?? null
  if (value !== null && (typeof value !== 'object' || Array.isArray(value)))
    throw new InputError('CONFIG_TYPE', `${name}: expected an object, got ${describe(value)}`)
  return value as Fields | null
}

/** Hugging Face writes null for what has its default. */
function withoutNulls(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))
}

function isNothing(fields: Fields, name: string): boolean {
  return field(fields, name) === undefined
}

function outOfRange(name: string, least: number, most: number, got: string): InputError {
  return new InputError('CONFIG_RANGE', `${name}: expected ${least} to ${most}, got ${got}`)
}

function readFlag(fields: Fields, name: string, otherwise: boolean): boolean {
  const value = field(fields, name)
  if (value === undefined) return otherwise
  if (typeof value === 'boolean') return value
  throw new InputError('CONFIG_TYPE', `${name}: expected true or false, got ${describe(value)}`)
}

function expectValue(
  fields: Fields,
  name: string,
  allowed: readonly (string | boolean | number | undefined)[],
  otherwise: string | boolean | number | undefined,
  code: string,
): void {
  const value = field(fields, name) ?? otherwise
  if (!allowed.some((one) => one === value))
    throw new InputError(
      code,
      `${name}: expected ${allowed.map((one) => one ?? 'nothing').join(' or ')}, got ${describe(value)}`,
    )
}

/** A short picture of a value for an error message; never more than a few words of it. */
function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'string' ? quote(value) : String(value)
}
