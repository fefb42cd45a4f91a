/**
 * A model from a GGUF file: its configuration as config.json would have it, its tensors under the names and in the order
 * of rows of Hugging Face, its vocabulary.
 *
 * Supported are the architectures of the table `architectures`: `llama` is Llama, Mistral, SmolLM2, TinyLlama and others that differ
 * in sizes.
 * What would need arithmetic that is not here is refused by name, unknown tensors too: a bias or an expert that is left
 * unread would be a silent error.
 *
 * Rotations: Hugging Face rotates channel i with i + K/2, llama.cpp's `llama` channel 2i with 2i + 1. The rows of its q and
 * k are permuted accordingly, and are put back here: row 2i + b of a head in the file is row b K/2 + i of Hugging Face.
 * Most others have Hugging Face's order. `rope_freqs` divides the frequencies, as the scaling of Llama 3 does.
 *
 * `deci` is `llama` with numbers of heads and neurons for each layer. The form of Hugging Face has one number for all: a layer gets as many
 * as the one that has most, and zeros in place of those that it lacks, which add nothing.
 *
 * Norms of Gemma multiply by 1 + w. Its files have 1 + w, which is what is handed out; `rms_norm_offset: 0` says so.
 *
 * Tensors are read in parts of a few megabytes and turned into float32 on the way; halves stay halves.
 */
import { concatenate } from '../tensor/concatenate.ts'
import { elementSize } from '../tensor/dtypes.ts'
import { BLOCK } from '../tensor/int4.ts'
import { partsOf, storedSource, type StoredTensor } from '../tensor/stored_source.ts'
import { rowsOf, type RawTensorSource } from '../tensor/tensor_source.ts'
import { checkSource, readSampling, type ChatTemplate, type OwnSampling } from './chat_template.ts'
import { openWith, readParts, readUnchanged, type RangedFile } from './files.ts'
import { readGgufHeader, type GgufTensor } from './gguf.ts'
import { Q4_1_BYTES, type GgufType } from './gguf_blocks.ts'
import { GgufEntries } from './gguf_entries.ts'
import { readGgufVocabulary } from './gguf_tokenizer.ts'
import { refusal, refuseTensor } from './refusal.ts'
import type { Vocabulary } from './vocabulary.ts'

/** An open GGUF file. Close its source. */
export interface GgufModel {
  /** What config.json says in a folder of Hugging Face. */
  readonly configJson: Readonly<Record<string, unknown>>
  readonly source: RawTensorSource
  /** Null if the file has none. */
  readonly vocabulary: Vocabulary | null
  /** Null if the file has none. */
  readonly chat: ChatTemplate | null
  readonly sampling: OwnSampling
}

/**
 * Opens a GGUF file: its header is read, and the scaling of its rotations.
 * @throws InputError GGUF_*, TENSOR_*, TOKENIZER_*, FILE_*
 */
export function openGguf(path: string): Promise<GgufModel> {
  return openWith(path, (file) => readGguf(file, path))
}

/** The model of an open GGUF file; it stays open until the source is closed. @throws as `openGguf` */
export async function readGguf(file: RangedFile, name: string): Promise<GgufModel> {
  const header = await readGgufHeader(file, name)
  const entries = new GgufEntries(header.entries, name)
  const architecture = entries.oneOf('general.architecture', architectureNames)
  const { tensors } = header
  const factors = tensors.get(ROTATION_FACTORS) ?? tensors.get(SHORT_FACTORS)
  const units = architecture === LAYERWISE ? readUnits(entries, architecture, tensors, name) : null
  const configJson = readConfig(
    entries,
    architecture,
    tensors,
    factors && (await readFactors(file, name, factors)),
    units?.most,
  )
  const stored = new Map<string, StoredTensor>()
  const spare: Float32Array<ArrayBuffer>[] = []
  for (const tensor of tensors.values()) {
    const known = tensorOf(tensor, name, architecture, configJson.num_hidden_layers as number)
    if (known === null) continue
    const { hugging, heads, layer, module } = known
    const own = units?.layers[layer]
    const pairs = heads && rowsOf(tensor.shape).rows / (own?.[heads] ?? (configJson[heads] as number))
    const found = storedTensor({ file, name, spare }, tensor, hugging, pairs)
    stored.set(hugging, own && units ? spread(found, module, own, units.most, name) : found)
  }
  const vocabulary = readGgufVocabulary(entries, name)
  const rows = configJson.vocab_size as number
  if (vocabulary && vocabulary.ids.size > rows) {
    const expected = `at most ${rows}, the vocabulary of the model`
    const got = `${vocabulary.ids.size}`
    throw refusal('TOKENIZER_VOCAB', `${name} "tokenizer.ggml.tokens"`, expected, got)
  }
  return {
    configJson,
    source: storedSource(name, stored, entries.textsBelow('general.'), () => file.close()),
    vocabulary,
    chat: readChat(entries),
    sampling: readOwnSampling(entries, name),
  }
}

// ---- Names ------------------------------------------------------------------------------------------------------

const outer: ReadonlyMap<string, string> = new Map([
  ['token_embd.weight', 'model.embed_tokens.weight'],
  ['output_norm.weight', 'model.norm.weight'],
  ['output.weight', 'lm_head.weight'],
])

/** Modules of a layer by their names. */
type Modules = Readonly<Record<string, string>>

const products: Modules = {
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
}
const norms: Modules = { attn_norm: 'input_layernorm', ffn_norm: 'post_attention_layernorm' }
const headNorms: Modules = { attn_q_norm: 'self_attn.q_norm', attn_k_norm: 'self_attn.k_norm' }

/** An architecture of llama.cpp. */
interface ArchitectureForm {
  readonly modules: Modules
  /** Those that have a bias. */
  readonly biased?: RegExp
  /** Whether rows of q and k are permuted. */
  readonly isPermuted?: boolean
  /** Fields of config.json, by which the file does not say what it is. */
  readonly fields?: Readonly<Record<string, unknown>>
  /** Fields of config.json that the file has in entries of this architecture alone. */
  readonly read?: (own: OwnEntries, sizes: Sizes) => Readonly<Record<string, unknown>>
}

/** The numbers that a file has under the name of its architecture, as an object of none or one. */
type OwnEntries = (key: string, name: string) => Readonly<Record<string, number>>

/** Sizes by which llama.cpp knows a model. */
interface Sizes {
  readonly layers: number
  readonly width: number
  readonly heads: number
  readonly headSize: number
}

const gemmaNorms: Modules = {
  attn_norm: 'input_layernorm',
  post_attention_norm: 'post_attention_layernorm',
  ffn_norm: 'pre_feedforward_layernorm',
  post_ffw_norm: 'post_feedforward_layernorm',
}

/** What scores are divided by the root of: the file does not say, and llama.cpp tells the largest of each by its layers. */
const scalarOfGemma = ({ layers, width, heads, headSize }: Sizes, largest: number): object => ({
  query_pre_attn_scalar: layers === largest ? width / heads : headSize,
})

const architectures = {
  llama: { modules: { ...norms, ...products }, isPermuted: true },
  qwen2: { modules: { ...norms, ...products }, biased: /^attn_[qkv]$/ },
  qwen3: { modules: { ...norms, ...headNorms, ...products } },
  olmo2: {
    modules: {
      ...headNorms,
      ...products,
      post_attention_norm: 'post_attention_layernorm',
      post_ffw_norm: 'post_feedforward_layernorm',
    },
  },
  phi3: {
    modules: {
      ...norms,
      attn_qkv: 'self_attn.qkv_proj',
      attn_output: 'self_attn.o_proj',
      ffn_up: 'mlp.gate_up_proj',
      ffn_down: 'mlp.down_proj',
    },
  },
  gemma2: {
    modules: { ...gemmaNorms, ...products },
    fields: { rms_norm_offset: 0 },
    read: (own, sizes) => ({
      ...scalarOfGemma(sizes, 46),
      ...own('attn_logit_softcapping', 'attn_logit_softcapping'),
      ...own('final_logit_softcapping', 'final_logit_softcapping'),
    }),
  },
  gemma3: {
    modules: { ...gemmaNorms, ...headNorms, ...products },
    // The last two are constants of llama.cpp where the file has no others.
    fields: {
      model_type: 'gemma3_text',
      rms_norm_offset: 0,
      sliding_window_pattern: 6,
      rope_local_base_freq: 10_000,
    },
    read: (own, sizes) => ({
      ...scalarOfGemma(sizes, 62),
      ...own('attention.sliding_window_pattern', 'sliding_window_pattern'),
      ...own('rope.freq_base_swa', 'rope_local_base_freq'),
      ...own('final_logit_softcapping', 'final_logit_softcapping'),
    }),
  },
  // A constant of llama.cpp.
  smollm3: { modules: { ...norms, ...products }, isPermuted: true, fields: { no_rope_layer_interval: 4 } },
  deci: { modules: { ...norms, ...products }, isPermuted: true, fields: { model_type: 'llama' } },
} as const satisfies Record<string, ArchitectureForm>
type Architecture = keyof typeof architectures
/** That whose layers may have different numbers of units. */
export const LAYERWISE = 'deci'
/** The architectures that are read, by their names in llama.cpp. */
export const architectureNames: readonly Architecture[] = Object.keys(architectures) as Architecture[]

/** Divisors of frequencies: for all lengths, or for those of the context that the model was first trained for. */
const ROTATION_FACTORS = 'rope_freqs.weight'
const SHORT_FACTORS = 'rope_factors_short.weight'
const LONG_FACTORS = 'rope_factors_long.weight'

/** The name of a tensor, and the entry of the configuration with the number of heads in which its rows are permuted. */
export interface KnownTensor {
  readonly hugging: string
  /** -1 outside of the layers. */
  readonly layer: number
  /** Its name in a layer; that of the file outside. */
  readonly module: string
  readonly heads: 'num_attention_heads' | 'num_key_value_heads' | null
}

/** The weights of a model with so many layers by their names in a file; a tied head among them. */
export function ggufNames(architecture: Architecture, layers: number): Map<string, KnownTensor> {
  const { modules, isPermuted }: ArchitectureForm = architectures[architecture]
  const known = new Map(
    [...outer].map(([name, hugging]): [string, KnownTensor] => [name, outside(name, hugging)]),
  )
  for (let layer = 0; layer < layers; layer++)
    for (const [module, name] of Object.entries(modules))
      known.set(`blk.${layer}.${module}.weight`, {
        hugging: `model.layers.${layer}.${name}.weight`,
        layer,
        module,
        heads: (isPermuted && permuted.get(module)) || null,
      })
  return known
}

const outside = (module: string, hugging: string): KnownTensor => ({
  hugging,
  layer: -1,
  module,
  heads: null,
})

/**
 * What a tensor is; null for one that is not a parameter. A layer has one way to be written, so that no two tensors are the
 * same parameter.
 * @throws InputError GGUF_UNSUPPORTED
 */
export function tensorOf(
  { name }: Pick<GgufTensor, 'name'>,
  file: string,
  architecture: Architecture,
  layers: number,
): KnownTensor | null {
  const hugging = outer.get(name)
  if (hugging !== undefined) return outside(name, hugging)
  if (name === ROTATION_FACTORS) return null
  if (architecture === 'phi3' && (name === SHORT_FACTORS || name === LONG_FACTORS)) return null
  const [, layer, module = '', part] = /^blk\.(0|[1-9]\d{0,8})\.(\w+)\.(weight|bias)$/.exec(name) ?? []
  if (layer !== undefined && Number(layer) >= layers)
    throw refuseTensor('GGUF_UNSUPPORTED', file, name, `one of ${layers} layers`, `layer ${layer}`)
  // Frequencies that an old converter wrote down; they follow from the base.
  if (module === 'attn_rot_embd' && part === 'weight') return null
  const { modules, biased, isPermuted }: ArchitectureForm = architectures[architecture]
  const found = Object.hasOwn(modules, module) ? modules[module] : undefined
  if (found === undefined || (part === 'bias' && !biased?.test(module)))
    throw refuseTensor('GGUF_UNSUPPORTED', file, name, `a tensor of ${architecture}`, 'another')
  const heads = isPermuted ? permuted.get(module) : undefined
  const place = { layer: Number(layer), module }
  return { hugging: `model.layers.${layer}.${found}.${part}`, ...place, heads: heads ?? null }
}

const permuted: ReadonlyMap<string, KnownTensor['heads']> = new Map([
  ['attn_q', 'num_attention_heads'],
  ['attn_k', 'num_key_value_heads'],
])

// ---- Configuration ----------------------------------------------------------------------------------------------

function readConfig(
  entries: GgufEntries,
  architecture: Architecture,
  tensors: ReadonlyMap<string, GgufTensor>,
  factors: readonly number[] | undefined,
  most: Units | undefined,
): Record<string, unknown> {
  const own = (key: string): string => `${architecture}.${key}`
  const optional = (key: string, name: string): Record<string, number> =>
    entries.has(key) ? { [name]: entries.whole(key) } : {}
  const heads = most?.num_attention_heads ?? entries.whole(own('attention.head_count'))
  const width = entries.whole(own('embedding_length'))
  const keyLength = own('attention.key_length')
  const headSize = entries.has(keyLength) ? entries.whole(keyLength) : width / heads
  entries.expect(own('attention.value_length'), headSize)
  const rotated = own('rope.dimension_count')
  const isPartial = architecture === 'phi3' && entries.has(rotated)
  if (!isPartial) entries.expect(rotated, headSize)
  entries.expect(own('expert_count'), 0)
  const isShort = tensors.has(SHORT_FACTORS)
  if (!isShort) entries.expect(own('rope.scaling.attn_factor'), 1)
  const original = own('rope.scaling.original_context_length')
  const context = entries.whole(own('context_length'))
  entries.expect('split.count', 1)
  const table = tensors.get('token_embd.weight')
  const window = own('attention.sliding_window')
  const ends = new Set(
    ['eos_token_id', 'eot_token_id']
      .map((key) => `tokenizer.ggml.${key}`)
      .filter((key) => entries.has(key))
      .map((key) => entries.whole(key)),
  )
  const { fields, read }: ArchitectureForm = architectures[architecture]
  const layers = entries.whole(own('block_count'))
  const numberOf: OwnEntries = (key, name) =>
    entries.has(own(key)) ? { [name]: entries.number(own(key)) } : {}
  return {
    model_type: architecture,
    ...fields,
    ...read?.(numberOf, { layers, width, heads, headSize }),
    hidden_size: width,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: heads,
    ...(most ?? {
      ...optional(own('attention.head_count_kv'), 'num_key_value_heads'),
      intermediate_size: entries.whole(own('feed_forward_length')),
    }),
    ...optional(keyLength, 'head_dim'),
    vocab_size: table ? rowsOf(table.shape).rows : entries.whole(own('vocab_size')),
    max_position_embeddings: isShort ? Math.min(context, entries.whole(original)) : context,
    // Of a file that has a window every layer slides.
    ...(entries.has(window) && {
      use_sliding_window: true,
      max_window_layers: 0,
      sliding_window: entries.whole(window),
    }),
    hidden_act: 'silu',
    rms_norm_eps: entries.number(own('attention.layer_norm_rms_epsilon')),
    rope_theta: entries.has(own('rope.freq_base')) ? entries.number(own('rope.freq_base')) : 10_000,
    rope_scaling: readScaling(entries, own, factors),
    ...(isPartial && { partial_rotary_factor: entries.whole(rotated) / headSize }),
    tie_word_embeddings: !tensors.has('output.weight'),
    ...optional('tokenizer.ggml.bos_token_id', 'bos_token_id'),
    ...(ends.size > 0 && { eos_token_id: ends.size === 1 ? [...ends][0] : [...ends] }),
    ...optional('tokenizer.ggml.padding_token_id', 'pad_token_id'),
  }
}

// ---- Layers that differ -----------------------------------------------------------------------------------------

/** How many units a layer has, by the names of config.json. */
interface Units {
  readonly num_attention_heads: number
  readonly num_key_value_heads: number
  readonly intermediate_size: number
}

/** The units of each layer, and the most of each kind: groups of keys, heads in a group, neurons. */
interface LayerUnits {
  readonly layers: readonly Units[]
  readonly most: Units
}

/**
 * The units that the entries say, which are those of the tensors.
 * @throws InputError GGUF_ENTRY for layers without units, GGUF_SHAPE for others than those of the tensors
 */
function readUnits(
  entries: GgufEntries,
  architecture: Architecture,
  tensors: ReadonlyMap<string, GgufTensor>,
  file: string,
): LayerUnits {
  const own = (key: string): string => `${architecture}.${key}`
  const count = entries.whole(own('block_count'))
  const columnsOf = (layer: number, module: string): number => {
    const { shape = [0, 0] } = tensors.get(`blk.${layer}.${module}.weight`) ?? {}
    return rowsOf(shape).columns
  }
  const size = entries.has(own('attention.key_length')) ? entries.whole(own('attention.key_length')) : null
  const lists = {
    num_attention_heads: entries.wholeOrEach(own('attention.head_count'), count, tensors.size),
    num_key_value_heads: entries.wholeOrEach(own('attention.head_count_kv'), count, tensors.size),
    intermediate_size: entries.wholeOrEach(own('feed_forward_length'), count, tensors.size),
  }
  const headSize = size ?? entries.whole(own('embedding_length')) / lists.num_attention_heads[0]
  const layers = Array.from({ length: count }, (_, l): Units => {
    const units = {
      num_attention_heads: lists.num_attention_heads[l],
      num_key_value_heads: lists.num_key_value_heads[l],
      intermediate_size: lists.intermediate_size[l],
    }
    const found = [columnsOf(l, 'attn_output'), columnsOf(l, 'ffn_down')]
    const said = [units.num_attention_heads * headSize, units.intermediate_size]
    if (said.some((columns, i) => columns !== found[i]) || !Number.isInteger(headsOfGroup(units)))
      throw refusal(
        'GGUF_SHAPE',
        `${file} layer ${l}`,
        `heads of ${headSize} numbers in groups of one size, and neurons, as the entries say`,
        `${units.num_attention_heads} heads in ${units.num_key_value_heads} groups, ${units.intermediate_size} neurons, and matrices of ${found.join(' and ')} columns`,
      )
    return units
  })
  const most = (of: (units: Units) => number): number => layers.reduce((a, one) => Math.max(a, of(one)), 0)
  const groups = most((units) => units.num_key_value_heads)
  return {
    layers,
    most: {
      num_attention_heads: groups * most(headsOfGroup),
      num_key_value_heads: groups,
      intermediate_size: most((units) => units.intermediate_size),
    },
  }
}

const headsOfGroup = (units: Units): number => units.num_attention_heads / units.num_key_value_heads

/** Matrices whose rows or columns are units of a layer. */
const unitsOf: ReadonlyMap<string, readonly ['rows' | 'columns', keyof Units]> = new Map([
  ['attn_q', ['rows', 'num_attention_heads']],
  ['attn_k', ['rows', 'num_key_value_heads']],
  ['attn_v', ['rows', 'num_key_value_heads']],
  ['attn_output', ['columns', 'num_attention_heads']],
  ['ffn_gate', ['rows', 'intermediate_size']],
  ['ffn_up', ['rows', 'intermediate_size']],
  ['ffn_down', ['columns', 'intermediate_size']],
])

/** Where units of a layer go: the first unit of a run, its place among those of the layer that has most, and how many run on. */
type Run = readonly [from: number, to: number, count: number]

function runsOf(kind: keyof Units, own: Units, most: Units): Run[] {
  if (kind !== 'num_attention_heads') return [[0, 0, own[kind]]]
  const [each, room] = [headsOfGroup(own), headsOfGroup(most)]
  return Array.from({ length: own.num_key_value_heads }, (_, group) => [group * each, group * room, each])
}

/** A tensor of a layer with zeros for the units that the layer lacks. @throws InputError GGUF_SHAPE */
function spread(tensor: StoredTensor, module: string, own: Units, most: Units, file: string): StoredTensor {
  const [axis, kind] = unitsOf.get(module) ?? []
  if (axis === undefined || kind === undefined) return tensor
  const { info, blocks } = tensor
  const { stored, ...about } = info
  const { rows, columns } = rowsOf(info.shape)
  /** Rows are moved as they follow each other, columns within each row. */
  const D = axis === 'rows' ? 1 : rows
  const unit = (rows * columns) / D / own[kind]
  if (!Number.isInteger(unit) || (axis === 'rows' && unit % columns !== 0)) {
    const expected = `${axis} of ${own[kind]} units`
    throw refuseTensor('GGUF_SHAPE', file, info.name, expected, `[${info.shape.join(', ')}]`)
  }
  const runs = runsOf(kind, own, most).map((run) => run.map((units) => units * unit))
  const width = most[kind] * unit
  const shape = axis === 'rows' ? [width / columns, columns] : [rows, width]
  const turn = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => {
    const number = bytes.length / (rows * columns)
    const out = new Uint8Array(D * width * number)
    const before = bytes.length / D
    for (let d = 0; d < D; d++)
      for (const [from, to, count] of runs) {
        const begin = d * before + from * number
        out.set(bytes.subarray(begin, begin + count * number), (d * width + to) * number)
      }
    return out
  }
  const rowLength = shape[1] * elementSize(info.dtype)
  const made = async (): Promise<Uint8Array<ArrayBuffer>> => turn(await tensor.rows(0, rows))
  // What is moved has to be whole blocks.
  const moved =
    blocks && [width, ...runs.flat()].every((numbers) => numbers % BLOCK === 0) ? blocks : undefined
  const madeBlocks = async ({
    rowLength: length,
    parts,
  }: NonNullable<typeof blocks>): Promise<Uint8Array> => {
    const all: Uint8Array[] = []
    for await (const part of parts(length * rows)) all.push(part.slice())
    return turn(concatenate(Uint8Array, all))
  }
  return {
    info: {
      ...about,
      shape,
      byteLength: shape[0] * rowLength,
      ...(!blocks || moved ? { stored } : {}),
      ...(own[kind] < most[kind] && { inFile: { shape: info.shape, byteLength: info.byteLength, stored } }),
    },
    rows: async (first, count) => (await made()).slice(first * rowLength, (first + count) * rowLength),
    parts: (length) => partsOf(made, length),
    ...(moved && {
      blocks: {
        type: moved.type,
        rowLength: (shape[1] / columns) * moved.rowLength,
        parts: (length) => partsOf(() => madeBlocks(moved), length),
      },
    }),
  }
}

function readScaling(
  entries: GgufEntries,
  own: (key: string) => string,
  factors: readonly number[] | undefined,
): object | null {
  // llama.cpp scales a file that has a factor and no kind.
  const type = own('rope.scaling.type')
  const kind = entries.has(type) ? entries.oneOf(type, ['none', 'linear']) : 'linear'
  // An old name of the same.
  const key = [own('rope.scaling.factor'), own('rope.scale_linear')].find((name) => entries.has(name))
  const isLinear = key !== undefined && kind === 'linear'
  if (factors && isLinear) entries.expect(key, 1)
  const magnitude = own('rope.scaling.attn_factor')
  const scaled = entries.has(magnitude) ? { magnitude: entries.number(magnitude) } : {}
  if (factors) return { rope_type: 'factors', factors, ...scaled }
  return isLinear ? { rope_type: 'linear', factor: entries.number(key) } : null
}

/** Pairs of the largest head. */
const MAX_PAIRS = 2 ** 16

async function readFactors(file: RangedFile, name: string, tensor: GgufTensor): Promise<readonly number[]> {
  const { type, shape, start, byteLength } = tensor
  if (type.name !== 'F32' || shape.length !== 1 || shape[0] > MAX_PAIRS) {
    const got = `${type.name} [${shape.join(', ')}]`
    throw refuseTensor('GGUF_SHAPE', name, tensor.name, `F32 [1 to ${MAX_PAIRS}]`, got)
  }
  const { buffer } = await readUnchanged(file, start, byteLength, name)
  return [...new Float32Array(buffer)]
}

/** The names in `generation_config.json` of the keys under `general.sampling.`, which llama.cpp's converter writes. */
const samplingKeys = {
  temp: 'temperature',
  top_k: 'top_k',
  top_p: 'top_p',
  min_p: 'min_p',
  penalty_repeat: 'repetition_penalty',
} as const

function readOwnSampling(entries: GgufEntries, file: string): OwnSampling {
  const fields = Object.entries(samplingKeys).flatMap(([key, name]): [string, number][] => {
    const whole = `general.sampling.${key}`
    return entries.has(whole) ? [[name, entries.number(whole)]] : []
  })
  return readSampling(Object.fromEntries(fields), `${file} general.sampling`, 'GGUF_ENTRY')
}

function readChat(entries: GgufEntries): ChatTemplate | null {
  const key = 'tokenizer.chat_template'
  if (!entries.has(key)) return null
  const tokens = entries.has('tokenizer.ggml.tokens') ? entries.texts('tokenizer.ggml.tokens') : []
  const textOf = (name: string): string | null =>
    entries.has(`tokenizer.ggml.${name}`) ? (tokens[entries.whole(`tokenizer.ggml.${name}`)] ?? null) : null
  return {
    source: checkSource(entries.text(key)),
    bosToken: textOf('bos_token_id'),
    eosToken: textOf('eos_token_id'),
  }
}

// ---- Tensors ----------------------------------------------------------------------------------------------------

/** An open file. */
interface OpenFile {
  readonly file: RangedFile
  readonly name: string
  /** Arrays for decoded numbers that are used again, because allocating new memory is slow. */
  readonly spare: Float32Array<ArrayBuffer>[]
}

/**
 * A tensor as its bytes in the type it is handed out in.
 * @param pairs rows of a head whose rows are permuted, K; null for a tensor in the right order
 */
function storedTensor(
  { file, name, spare }: OpenFile,
  tensor: GgufTensor,
  hugging: string,
  pairs: number | null,
): StoredTensor {
  const { type, shape, start } = tensor
  const refuse = (expected: string): Error =>
    refuseTensor('GGUF_SHAPE', name, tensor.name, expected, `${type.name} [${shape.join(', ')}]`)
  if (type.decode && shape.length === 1) throw refuse('F32, F16 or BF16 for one dimension')
  if (pairs !== null && (!Number.isInteger(pairs / 2) || pairs === 0))
    throw refuse('rows of heads of an even size')
  const { rows, columns } = rowsOf(shape)
  const rowBytes = (columns / type.numbers) * type.bytes
  const rowLength = columns * elementSize(type.dtype)
  const together = pairs ?? 1
  /** Whole heads, or rows, as they are handed out. */
  const turn = (
    stored: Uint8Array<ArrayBuffer>,
    room?: Float32Array<ArrayBuffer>,
  ): Uint8Array<ArrayBuffer> => {
    const bytes = decode(type, stored, room)
    return pairs === null ? bytes : unpermute(bytes, pairs, rowLength)
  }
  /** How many rows of whole heads go into so many bytes; at least one head. */
  const wholeHeads = (length: number, ofRow: number): number =>
    Math.min(rows, Math.max(1, Math.floor(length / (together * ofRow))) * together)
  const read = (partRows: number): AsyncIterable<Uint8Array<ArrayBuffer>> =>
    readParts(file, start, tensor.byteLength, partRows * rowBytes, name)
  const { asQ4_1 } = type
  const blockRow = (columns / type.numbers) * Q4_1_BYTES
  return {
    info: {
      name: hugging,
      dtype: type.dtype,
      shape,
      byteLength: rows * rowLength,
      ...(type.decode && { stored: { type: type.name, byteLength: tensor.byteLength } }),
    },
    async rows(first, count) {
      const from = first - (first % together)
      const end = Math.ceil((first + count) / together) * together
      const stored = await readUnchanged(file, start + from * rowBytes, (end - from) * rowBytes, name)
      return turn(stored).slice((first - from) * rowLength, (first - from + count) * rowLength)
    },
    async *parts(length) {
      const partRows = wholeHeads(length, rowLength)
      let room = type.decode ? spare.pop() : undefined
      if (type.decode && (room === undefined || room.length < partRows * columns))
        room = new Float32Array(partRows * columns)
      try {
        for await (const stored of read(partRows)) {
          const bytes = turn(stored, room)
          for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
        }
      } finally {
        if (room) spare.push(room)
      }
    },
    ...(asQ4_1 && {
      blocks: {
        type: 'Q4_1',
        rowLength: blockRow,
        async *parts(length: number): AsyncGenerator<Uint8Array> {
          for await (const stored of read(wholeHeads(length, blockRow))) {
            const bytes = asQ4_1(stored)
            const turned = pairs === null ? bytes : unpermute(bytes, pairs, blockRow)
            for (let at = 0; at < turned.length; at += length) yield turned.subarray(at, at + length)
          }
        },
      },
    }),
  }
}

/** The numbers of whole blocks, in the room if it is given; those of a plain type as they are. */
function decode(
  type: GgufType,
  stored: Uint8Array<ArrayBuffer>,
  room?: Float32Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  if (!type.decode) return stored
  const count = (stored.length / type.bytes) * type.numbers
  const numbers = room ?? new Float32Array(count)
  type.decode(stored, numbers)
  return new Uint8Array(numbers.buffer, 0, 4 * count)
}

/** Rows of heads of K rows, each from the order of pairs of neighbours to that of halves. */
function unpermute(bytes: Uint8Array, K: number, rowLength: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length)
  for (let row = 0; row * rowLength < bytes.length; row++) {
    const inHead = row % K
    const from = row - inHead + 2 * (inHead % (K / 2)) + Math.floor(inHead / (K / 2))
    out.set(bytes.subarray(from * rowLength, (from + 1) * rowLength), row * rowLength)
  }
  return out
}
