/**
 * A model that has no file, as a GGUF file of one format; `src/io/gguf_output.ts` writes one that has a file.
 *
 * Llama, Qwen3 and Gemma 3 have architectures of their own, and are the same models; their tensors are those that the reader
 * (`src/io/gguf_model.ts`) knows. llama.cpp has no OPT: its `gpt2` has the same matrices, biases, layer norms and positions, but another
 * activation (GELU in the place of ReLU), so that a file of OPT's weights takes the same time and computes something else. Queries, keys
 * and values are one matrix there.
 *
 * llama.cpp's `llama` rotates channel 2i of a head with 2i + 1, Hugging Face i with i + K/2: row b K/2 + i of a head of q and k is
 * row 2i + b of the file.
 */
import { ggufNames } from '../../src/io/gguf_model.ts'
import type { ModelConfig } from '../../src/engine/config.ts'
import { moduleName, type Module } from '../../src/verify/model/modules.ts'
import { outerNames, POSITION_OFFSET } from './outer_names.ts'
import { parameterShapes } from '../../src/engine/program.ts'
import { UsageError } from '../../src/tensor/errors.ts'
import type { TensorSource } from '../../src/tensor/tensor_source.ts'
import type { Format } from '../../src/io/gguf_formats.ts'
import {
  formatEntries,
  formatOf,
  ggufFile,
  inPairs,
  type WrittenTensor,
  type WrittenValue,
} from '../../src/io/gguf_writer.ts'

/**
 * The bytes of a file.
 * @param source by Hugging Face's names
 * @param tokenizer entries `tokenizer.*`
 * @throws UsageError MODEL if no architecture of llama.cpp has these matrices
 */
export function ggufModel(
  config: ModelConfig,
  source: TensorSource,
  format: Format,
  tokenizer: ReadonlyMap<string, WrittenValue>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const architecture = architectureFor(config)
  if (architecture === null)
    throw new UsageError('MODEL', `model: expected one whose matrices llama.cpp has, got another`)
  const tensors = architecture === 'gpt2' ? gpt2Tensors(config) : tensorsOf(config, architecture)
  const entries = new Map<string, WrittenValue>([
    ['general.architecture', architecture],
    ...formatEntries(format),
    ...sizes(config, architecture),
    ...tokenizer,
  ])
  const written = tensors.map(({ name, shape, read }): WrittenTensor => ({
    name,
    shape,
    format: formatOf(name, shape, format),
    read: () => read(source),
  }))
  return ggufFile(entries, written)
}

/** The architectures that are written. */
type Architecture = 'llama' | 'qwen3' | 'gemma3' | 'gpt2'

/** The architecture of llama.cpp whose matrices a model has; null if there is none. */
export function architectureFor(config: ModelConfig): Architecture | null {
  const { family, biases, rotary, layerRotary, layerWindow, preNorm, embeddingWidth, width } = config
  const { scoreScale, scoreCap, logitCap, normOffset } = config
  const isUsual = biases === 'none' && !rotary?.size && scoreScale === undefined && !scoreCap && !logitCap
  if (family === 'llama' || family === 'qwen3') return isUsual && !layerRotary && !layerWindow ? family : null
  // A file has the weights of norms with their 1.
  if (family === 'gemma3') return isUsual && !normOffset && hasGemmaLayers(config) ? family : null
  return family === 'opt' && preNorm && embeddingWidth === width ? 'gpt2' : null
}

/** Whether layers slide and rotate as llama.cpp has it of Gemma 3, of which a file says the width of the window alone. */
function hasGemmaLayers({ layers, layerWindow = [], layerRotary = [] }: ModelConfig): boolean {
  const LOCAL_BASE = 10_000
  return Array.from({ length: layers }).every((_, l) => {
    const slides = (l + 1) % 6 !== 0
    return slides === (typeof layerWindow[l] === 'number') && (!slides || layerRotary[l]?.base === LOCAL_BASE)
  })
}

function sizes(config: ModelConfig, architecture: Architecture): [string, WrittenValue][] {
  const { layers, width, heads, keyHeads, headSize, neurons, vocabulary, positions, epsilon, rotary } = config
  const own = (key: string, value: WrittenValue): [string, WrittenValue] => [`${architecture}.${key}`, value]
  const common = [
    own('block_count', { u32: layers }),
    own('context_length', { u32: positions }),
    own('embedding_length', { u32: width }),
    own('feed_forward_length', { u32: neurons }),
    own('attention.head_count', { u32: heads }),
  ]
  if (rotary === null) return [...common, own('attention.layer_norm_epsilon', { f32: epsilon })]
  const { base, scaling } = rotary
  if (scaling !== null)
    throw new UsageError('MODEL', `model: expected rotations that are not scaled, got ${scaling.kind}`)
  return [
    ...common,
    own('attention.head_count_kv', { u32: keyHeads }),
    own('attention.key_length', { u32: headSize }),
    own('attention.value_length', { u32: headSize }),
    own('attention.layer_norm_rms_epsilon', { f32: epsilon }),
    own('rope.dimension_count', { u32: headSize }),
    own('rope.freq_base', { f32: base }),
    ...(config.layerWindow?.[0] ? [own('attention.sliding_window', { u32: config.layerWindow[0] })] : []),
    own('vocab_size', { u32: vocabulary }),
  ]
}

// ---- Tensors ----------------------------------------------------------------------------------------------------

/** A tensor of the file, and how its numbers come from those of the model. */
interface Tensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly read: (source: TensorSource) => Promise<Float32Array>
}

const POSITIONS = 'position_embd.weight'

/** Tensors that are a parameter as it is. */
function plain(config: ModelConfig): (name: string, parameter: string) => Tensor {
  const shapes = parameterShapes(config)
  return (name, parameter) => ({
    name,
    shape: shapes.get(parameter) as readonly number[],
    read: (source) => source.read(parameter),
  })
}

/** Those that the reader knows, in the order of the program. */
function tensorsOf(config: ModelConfig, architecture: Exclude<Architecture, 'gpt2'>): Tensor[] {
  const { headSize, width } = config
  const asIs = plain(config)
  const names = ggufNames(architecture, config.layers)
  return [...names].flatMap(([name, { hugging, heads }]): Tensor[] => {
    if (config.tied && name === 'output.weight') return []
    const tensor = asIs(name, hugging)
    const read: Tensor['read'] = async (source) => inPairs(await tensor.read(source), headSize, width)
    return [heads === null ? tensor : { ...tensor, read }]
  })
}

const gpt2Modules: readonly (readonly [string, Module])[] = [
  ['attn_norm', 'attentionNorm'],
  ['attn_output', 'out'],
  ['ffn_norm', 'ffnNorm'],
  ['ffn_up', 'fc1'],
  ['ffn_down', 'fc2'],
]

function gpt2Tensors(config: ModelConfig): Tensor[] {
  const { layers, width: D, positions } = config
  const names = outerNames(config)
  const asIs = plain(config)
  const tensors: Tensor[] = [
    asIs('token_embd.weight', names.tokenTable),
    {
      name: POSITIONS,
      shape: [positions, D],
      read: (source) => source.readRows(names.positionTable, POSITION_OFFSET, positions),
    },
    ...(config.tied ? [] : [asIs('output.weight', names.head)]),
  ]
  const both = (name: string, module: string): Tensor[] =>
    ['weight', 'bias'].map((part) => asIs(`${name}.${part}`, `${module}.${part}`))
  tensors.push(...both('output_norm', names.finalNorm))
  for (let layer = 0; layer < layers; layer++) {
    for (const [name, module] of gpt2Modules)
      tensors.push(...both(`blk.${layer}.${name}`, moduleName(config, layer, module)))
    const three = (['query', 'key', 'value'] as const).map((one) => moduleName(config, layer, one))
    for (const part of ['weight', 'bias'])
      tensors.push({
        name: `blk.${layer}.attn_qkv.${part}`,
        shape: part === 'weight' ? [3 * D, D] : [3 * D],
        read: async (source) => joined(await Promise.all(three.map((one) => source.read(`${one}.${part}`)))),
      })
  }
  return tensors
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

// ---- Tokenizers -------------------------------------------------------------------------------------------------

/** The kinds of tokens. */
const [NORMAL, CONTROL, BYTE] = [1, 3, 6]
/** Ids of `<unk>`, `<s>` and `</s>`; bytes follow, the space of SentencePiece, and names without meaning. */
const SPECIAL = ['<unk>', '<s>', '</s>']
const BYTES = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
)

/** A vocabulary of this size, more than 260, for models that have none. */
export function plainTokenizer(vocabulary: number): Map<string, WrittenValue> {
  const first = [...SPECIAL, ...BYTES, '▁']
  const tokens = Array.from({ length: vocabulary }, (_, id) => first[id] ?? `t${id}`)
  const types = Int32Array.from(tokens, (token) =>
    SPECIAL.includes(token) ? CONTROL : BYTES.includes(token) ? BYTE : NORMAL,
  )
  return new Map<string, WrittenValue>([
    ['tokenizer.ggml.model', 'llama'],
    ['tokenizer.ggml.tokens', tokens],
    ['tokenizer.ggml.scores', new Float32Array(vocabulary)],
    ['tokenizer.ggml.token_type', types],
    ['tokenizer.ggml.unknown_token_id', { u32: 0 }],
    ['tokenizer.ggml.bos_token_id', { u32: 1 }],
    ['tokenizer.ggml.eos_token_id', { u32: 2 }],
  ])
}
