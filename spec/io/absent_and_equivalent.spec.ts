/**
 * An entry that is absent means its default, written down; entries and tensors may stand in any order; and a value may be spelled in
 * any way that its format allows: the outcome is equal.
 *
 * The optional entries are read from the schemas and from the sources of the readers, so that one without a default here fails. Tests
 * src/engine/config.ts, src/io/gguf_model.ts, src/io/gguf_tokenizer.ts, src/io/safetensors.ts, src/io/chat_template.ts,
 * src/io/tokenizer_json.ts, src/io/shard_index.ts, src/io/hub/download.ts, src/masks/mask_file.ts,
 * src/predictor/predictor_config_schema.ts, src/calibration/manifest.ts and src/server/requests.ts.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { parseStored } from '../../src/calibration/manifest.ts'
import { parseConfig, type ModelConfig } from '../../src/engine/config.ts'
import { ShadowModel } from '../../src/library/index.ts'
import { bytesAsFile } from '../../src/io/files.ts'
import { openChatTemplate, openGenerationConfig } from '../../src/io/chat_template.ts'
import { readGguf } from '../../src/io/gguf_model.ts'
import { parseSafetensors } from '../../src/io/safetensors.ts'
import { openShards, shardIndexName } from '../../src/io/shard_index.ts'
import { openSafetensors } from '../../src/io/safetensors.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { byteCharacters, byteTokens, specialTokens } from '../../src/io/vocabulary.ts'
import { readMask } from '../../src/masks/mask_file.ts'
import { rotaryTable } from '../../src/ops/rotary.ts'
import { predictorConfigSchema, readPredictorConfig } from '../../src/predictor/predictor_config_schema.ts'
import { checkPredictor } from '../../src/predictor/suitable.ts'
import { bodies } from '../../src/server/requests.ts'
import { ShadowError } from '../../src/tensor/errors.ts'
import { Random } from '../../src/tensor/random.ts'
import { copyOf, sameData } from '../harness/recorded.ts'
import { kills, killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier, isAtTier } from '../harness/tier.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { writeChatModel } from '../library/chat_model.ts'
import { ask, serverOf } from '../server/served.ts'
import { openHubModel } from '../../src/io/hub.ts'
import { codeOf, hubCase } from './hub/hub_cases.ts'
import { encodeGguf, type EntryValue, type FileTensor } from './gguf_file.ts'

const folder = temporaryFolder()
await writeChatModel(join(folder, 'model'))
const opt = await ShadowModel.fromPretrained(join(folder, 'model'), { backend: 'reference' })
afterAll(() => opt.dispose())

const source = (path: string): string => readFileSync(new URL(`../../src/${path}`, import.meta.url), 'utf8')

/** The names that a pattern finds in a source, between two of its texts. */
function namesIn(path: string, pattern: RegExp, from = '', to?: string): string[] {
  const text = source(path)
  const part = text.slice(text.indexOf(from), to === undefined ? undefined : text.indexOf(to))
  return Array.from(part.matchAll(pattern), ([, name]) => name)
}

/** Plain data of any outcome: maps and sets become lists, whose order counts. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return [...value].map(([key, one]) => [key, plain(one)])
  if (value instanceof Set) return [...value].map(plain)
  if (ArrayBuffer.isView(value) || typeof value !== 'object' || value === null) return copyOf(value)
  if (Array.isArray(value)) return value.map(plain)
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}

// ---- Documents -------------------------------------------------------------------------------------------------------

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
type Document = Readonly<Record<string, Json>>

/** A kind of JSON document. */
interface Format {
  /** Without any optional entry. */
  readonly base: Document
  /** Entries without which some defaults show nothing. */
  readonly beside?: Document
  /** What an optional entry is when it is absent, written down. */
  readonly defaults: Readonly<Record<string, Json>>
  /** The optional entries, from the schema or the source. */
  readonly optional: () => readonly string[]
  /** What comes of it, as plain data. */
  readonly read: (text: string) => unknown
}

/** The configuration, with rotations by their numbers: one kind of scaling may be another one. */
function outcomeOfConfig({ rotary, ...config }: ModelConfig): unknown {
  return { ...config, angles: rotary && rotaryTable(rotary, 8, config.headSize) }
}

/** Names of fields that some functions of a source read. */
function fieldsRead(path: string, functions: readonly string[]): string[] {
  const text = source(path)
  const names = functions.flatMap((name) => {
    const start = text.indexOf(`function ${name}(`)
    expect(start, name).toBeGreaterThan(0)
    const body = text.slice(start, text.indexOf('\n}\n', start))
    return [
      ...body.matchAll(/(?:read\w+|expectValue|isNothing|field)\((?:fields|both \?\? fields), '(\w+)'/g),
    ].map(([, field]) => field)
  })
  return [...new Set(names)]
}

interface SchemaLike {
  readonly type: string
  readonly entries?: Readonly<Record<string, SchemaLike>>
  readonly options?: readonly SchemaLike[]
}

/** The entries of an object's schema that may be absent. */
const optionalIn = ({ entries = {} }: SchemaLike): string[] =>
  Object.keys(entries).filter((key) => /optional|nullish/.test(entries[key].type))

const without = (names: readonly string[], base: Document): string[] =>
  names.filter((name) => !(name in base))

const sizes = {
  hidden_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 20,
  max_position_embeddings: 32,
}

/** A folder with a file of this text, read. */
async function inFolder<T>(name: string, text: string, read: (path: string) => Promise<T>): Promise<T> {
  const path = join(folder, 'one')
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, name), text)
  try {
    return await read(path)
  } finally {
    rmSync(path, { recursive: true })
  }
}

/** An answer of the server to a body, without what differs from answer to answer. */
async function answered(path: string, text: string): Promise<unknown> {
  const server = serverOf(opt, { name: 'chatty' })
  const { status, json } = await ask<Record<string, unknown>>(server, path, text)
  await server.drain()
  const { id: _id, created: _created, ...rest } = json
  return { status, ...rest }
}

const neutralFields: Readonly<Record<string, Json>> = {
  model: 'chatty',
  temperature: 1,
  top_p: 1,
  // As many as there are.
  top_k: 700,
  n: 1,
  stop: [],
  stream: false,
  // The server is begun without a seed, and draws its first one.
  seed: new Random(0).uint32(),
  planner: 'dense',
  min_p: 0,
  repetition_penalty: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  logit_bias: {},
  user: 'someone',
  safety_identifier: 'someone',
  prompt_cache_key: 'chats',
  service_tier: 'auto',
  metadata: {},
  prompt_cache_retention: 'x',
  store: false,
  prediction: {},
  parallel_tool_calls: true,
}
/** Fields that ask for something by being there, or that another field must ask for. */
const asking = [
  'sparsity',
  'every',
  'check',
  'logprobs',
  'suffix',
  'max_tokens',
  'max_completion_tokens',
  'stream_options',
]

const predictorBase = {
  shape: { layers: 2, heads: 4, neurons: 6 },
  width: 16,
  headHidden: 3,
  neuronHidden: 3,
  features: 'none',
  criterion: 'plainact',
  seed: 1,
  examples: 4,
} as const

const shape = { layers: 2, heads: 4, neurons: 6 }

const tokenizerModel: Document = {
  type: 'BPE',
  vocab: Object.fromEntries([...specialTokens, ...byteCharacters, 'ab'].map((token, id) => [token, id])),
  merges: ['a b'],
}
const tokenizerBase: Document = {
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
  decoder: { type: 'ByteLevel' },
}

const readTokenizer = (json: Document): unknown =>
  plain(parseTokenizerJson(new TextEncoder().encode(JSON.stringify(json))))

const formats: Readonly<Record<string, Format>> = {
  'config.json of OPT': {
    base: { ...sizes, model_type: 'opt', ffn_dim: 12 },
    defaults: {
      activation_function: 'relu',
      enable_bias: true,
      layer_norm_elementwise_affine: true,
      word_embed_proj_dim: 16,
      do_layer_norm_before: true,
      _remove_final_layer_norm: false,
      tie_word_embeddings: true,
      bos_token_id: 2,
      eos_token_id: 2,
      pad_token_id: 1,
    },
    optional: () => fieldsRead('engine/config.ts', ['readOpt', 'readSizes']),
    read: (text) => outcomeOfConfig(parseConfig(JSON.parse(text))),
  },
  ...Object.fromEntries(
    (['llama', 'mistral', 'qwen2'] as const).map((model_type): [string, Format] => [
      `config.json of ${model_type}`,
      {
        base: { ...sizes, model_type, intermediate_size: 12 },
        beside: { sliding_window: 8 },
        defaults: {
          hidden_act: 'silu',
          attention_bias: false,
          mlp_bias: false,
          quantization_config: null,
          num_key_value_heads: 4,
          head_dim: 4,
          rms_norm_eps: 1e-6,
          rope_theta: 10_000,
          rope_scaling: null,
          rope_parameters: { rope_theta: 10_000 },
          partial_rotary_factor: 1,
          tie_word_embeddings: false,
          use_sliding_window: model_type === 'mistral',
          sliding_window: 32,
          sliding_window_pattern: 1025,
          max_window_layers: 28,
          layer_types: Array(2).fill(model_type === 'mistral' ? 'sliding_attention' : 'full_attention'),
          bos_token_id: model_type === 'qwen2' ? 0 : 1,
          eos_token_id: model_type === 'qwen2' ? 0 : 2,
          pad_token_id: -1,
        },
        optional: () => fieldsRead('engine/config.ts', ['readLlama', 'readSizes', 'readRotary', 'windowsOf']),
        read: (text) => outcomeOfConfig(parseConfig(JSON.parse(text))),
      },
    ]),
  ),
  'generation_config.json': {
    base: {},
    defaults: {
      eos_token_id: [],
      do_sample: null,
      temperature: null,
      top_k: 0,
      top_p: 0,
      min_p: null,
      repetition_penalty: null,
    },
    optional: () =>
      namesIn('io/chat_template.ts', /^ {2}(\w+):/gm, 'const generationSchema', '/** How a model'),
    read: (text) => inFolder('generation_config.json', text, openGenerationConfig),
  },
  ...Object.fromEntries(
    [{}, { chat_template: 'x' } as Document].map((base, i): [string, Format] => [
      `tokenizer_config.json ${i === 0 ? 'without' : 'with'} a template`,
      {
        base,
        defaults: { chat_template: null, bos_token: null, eos_token: null },
        optional: () => namesIn('io/chat_template.ts', /^ {2}(\w+):/gm, 'const configSchema', 'const id ='),
        read: (text) => inFolder('tokenizer_config.json', text, openChatTemplate),
      },
    ]),
  ),
  'tokenizer.json': {
    base: { ...tokenizerBase, model: tokenizerModel },
    defaults: { added_tokens: [], normalizer: null, post_processor: null },
    optional: () => namesIn('io/tokenizer_json.ts', /(?:readPart\(json, |json\.get\()'(\w+)'/g),
    read: (text) => plain(parseTokenizerJson(new TextEncoder().encode(text))),
  },
  'the model of tokenizer.json': {
    base: tokenizerModel,
    defaults: {
      dropout: 0,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
    },
    optional: () =>
      namesIn(
        'io/tokenizer_json.ts',
        /^ {2}(\w+): (?:absent|v\.nullish|v\.optional)/gm,
        'const modelOptions',
        'function readSpelling',
      ),
    read: (text) => readTokenizer({ ...tokenizerBase, model: JSON.parse(text) as Json }),
  },
  'the ByteLevel step of tokenizer.json': {
    base: tokenizerBase.pre_tokenizer as Document,
    defaults: { use_regex: true },
    optional: () =>
      namesIn(
        'io/tokenizer_json.ts',
        /^ {2}(\w+): v\.(?:optional|nullish)/gm,
        'const byteLevel',
        'const steps',
      ),
    read: (text) =>
      readTokenizer({ ...tokenizerBase, model: tokenizerModel, pre_tokenizer: JSON.parse(text) as Json }),
  },
  ...Object.fromEntries(
    (predictorConfigSchema as unknown as SchemaLike).options?.map((schema, i): [string, Format] => {
      const kind = (['shadow', 'dejavu-style', 'dejavu'] as const)[i]
      const required = {
        shadow: { targets: 'raw' },
        'dejavu-style': { kind, targets: 'raw' },
        dejavu: { kind, top: [0.5] },
      }[kind] as Document
      return [
        `the config of a predictor ${kind}`,
        {
          base: { ...predictorBase, ...required },
          defaults: {
            kind,
            contextWidth: 16,
            dataHash: null,
            sourceLayer: 0,
            ranksFrom: 1,
            pooling: 'last',
            loss: 'mse',
            top: [],
          },
          optional: () => optionalIn(schema),
          read: (text) => {
            const config = readPredictorConfig(text)
            const model = parseConfig({ ...sizes, model_type: 'opt', ffn_dim: 6 })
            checkPredictor({ config }, model, 'predictor')
            // What is as wide as the stream is not said apart, nor is the layer after the source.
            const { contextWidth = config.width, ...rest } = config
            const { ranksFrom = 'sourceLayer' in config ? config.sourceLayer + 1 : 1, ...others } =
              rest as typeof rest & {
                readonly ranksFrom?: number
              }
            return { contextWidth, ranksFrom, ...others }
          },
        },
      ]
    }) ?? [],
  ),
  'the manifest of a calibration': {
    base: {
      format: /const format = '([^']+)'/.exec(source('calibration/manifest.ts'))?.[1] ?? '',
      version: Number(/const version = (\d+)/.exec(source('calibration/manifest.ts'))?.[1]),
      model: { hash: '0'.repeat(64), ...shape, width: 8 },
      data: { name: 'pages', hash: '1'.repeat(64), windows: 2, groups: ['a'] },
      criteria: [{ name: 'plainact', formula: 'x' }],
      datasetCriteria: [],
      seed: 1,
      keepSequence: true,
      mask: null,
      shardExamples: 2,
    },
    defaults: {},
    optional: () => [],
    read: async (text) => plain((await parseStored(new TextEncoder().encode(text), 'calibration')).manifest),
  },
  'a request for completions': {
    base: { prompt: 'abc def', max_tokens: 3 },
    defaults: { ...neutralFields, echo: false, add_special_tokens: true, mask_prompt_tokens: 8, best_of: 1 },
    optional: () => Object.keys(bodies.completion.entries).filter((name) => !asking.includes(name)),
    read: (text) => answered('/v1/completions', text),
  },
  'a request for a chat': {
    base: { messages: [{ role: 'user', content: 'abc' }], max_tokens: 3 },
    defaults: {
      ...neutralFields,
      chat_template_kwargs: {},
      top_logprobs: 0,
      tools: {},
      tool_choice: 'none',
      response_format: { type: 'text' },
      modalities: ['text'],
      reasoning_effort: null,
      verbosity: 'medium',
      functions: {},
      function_call: 'none',
      audio: null,
      web_search_options: null,
    },
    optional: () => Object.keys(bodies.chat.entries).filter((name) => !asking.includes(name)),
    read: (text) => answered('/v1/chat/completions', text),
  },
  'a request for ids': {
    base: { prompt: 'abc' },
    defaults: { model: 'chatty', messages: null, add_special_tokens: true, chat_template_kwargs: {} },
    optional: () => optionalIn(bodies.tokenize as unknown as SchemaLike),
    read: (text) => answered('/tokenize', text),
  },
}

/** What comes of a text, or the code it is refused with. */
async function outcome(read: Format['read'], text: string): Promise<unknown> {
  try {
    return plain(await read(text))
  } catch (error) {
    if (error instanceof ShadowError) return { refused: error.code }
    throw error
  }
}

/** The entries that are tried at this tier: each chat has a server of its own, which starts a thread. */
const atTier = (of: string, entries: readonly string[]): readonly string[] =>
  of.includes('chat') ? entries.filter((_, i) => isAtTier(i, 6)) : entries

describe('an absent entry means its default:', () => {
  for (const [name, { base, beside, defaults, optional, read }] of Object.entries(formats))
    test(name, async () => {
      for (const document of beside === undefined ? [base] : [base, { ...base, ...beside }]) {
        const names = without(optional(), document)
        expect(
          names.filter((entry) => !(entry in defaults)),
          'entries without a default here',
        ).toEqual([])
        const absent = await outcome(read, JSON.stringify(document))
        expect(JSON.stringify(absent)).not.toContain('"refused"')
        for (const entry of atTier(name, names))
          sameData(
            entry,
            await outcome(read, JSON.stringify({ ...document, [entry]: defaults[entry] })),
            absent,
          )
        const all = { ...document, ...Object.fromEntries(names.map((entry) => [entry, defaults[entry]])) }
        sameData('all entries', await outcome(read, JSON.stringify(all)), absent)
      }
    })

  test('a field of a request that is null is absent', async () => {
    for (const [path, body, base] of [
      ['/v1/completions', bodies.completion, formats['a request for completions'].base],
      ['/v1/chat/completions', bodies.chat, formats['a request for a chat'].base],
      ['/tokenize', bodies.tokenize, formats['a request for ids'].base],
    ] as const) {
      const absent = await answered(path, JSON.stringify(base))
      for (const name of atTier(path, without(Object.keys(body.entries), base)))
        sameData(name, await answered(path, JSON.stringify({ ...base, [name]: null })), absent)
    }
  })

  test('a reader with another default is found', async () => {
    const { base, defaults, read } = formats['config.json of llama']
    const wrong = async (document: Document): Promise<unknown> =>
      outcome(
        read,
        JSON.stringify(
          'tie_word_embeddings' in document ? document : { ...document, tie_word_embeddings: true },
        ),
      )
    const absent = await wrong(base)
    const explicit = await wrong({ ...base, tie_word_embeddings: defaults.tie_word_embeddings })
    expect(() => sameData('tied', explicit, absent)).toThrow()
  })
})

// ---- Spellings of JSON -----------------------------------------------------------------------------------------------

/** Writes JSON in another way: orders of keys, spaces, escapes, and numbers of equal value; the last two only unless `plainly`. */
function respell(value: Json, random: Random, plainly = false): string {
  const space = (): string => ['', ' ', '\n', '\t '][random.below(4)]
  if (typeof value === 'number' && plainly) return String(value)
  if (typeof value === 'number') return spellings(value)[random.below(spellings(value).length)]
  if (typeof value === 'string')
    return `"${[...value].map((letter) => (random.uniform() < 0.2 ? escaped(letter) : JSON.stringify(letter).slice(1, -1))).join('')}"`
  if (Array.isArray(value))
    return `[${(value as readonly Json[]).map((one) => `${space()}${respell(one, random, plainly)}${space()}`).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value)
  const order = plainly ? entries.map((_, i) => i) : [...random.permutation(entries.length)]
  return `{${order
    .map(
      (i) =>
        `${space()}${respell(entries[i][0], random)}${space()}:${space()}${respell(entries[i][1], random, plainly)}${space()}`,
    )
    .join(',')}}`
}

const escaped = (letter: string): string =>
  [...Array(letter.length).keys()]
    .map((i) => `\\u${letter.charCodeAt(i).toString(16).padStart(4, '0')}`)
    .join('')

function spellings(value: number): string[] {
  const text = JSON.stringify(value)
  if (!Number.isInteger(value) || Math.abs(value) > 1e6) return [text]
  return [text, `${text}.0`, `${text}e0`, `${text}E+0`, ...(value === 0 ? ['-0', '0e5'] : [`${text}0e-1`])]
}

type Respell = typeof respell

const spelledAlike = lawForAll(
  'a document in another order of entries, with other spaces, escapes and spellings of numbers, has the same outcome',
  { name: fc.constantFrom(...Object.keys(formats)), seed: fc.nat(), full: fc.boolean() },
  async (spell: Respell, { name, seed, full }) => {
    const { base, defaults, optional, read } = formats[name]
    const random = new Random(seed)
    const given = without(optional(), base).filter(() => full && random.uniform() < 0.5)
    const document = { ...base, ...Object.fromEntries(given.map((entry) => [entry, defaults[entry]])) }
    const expected = await outcome(read, JSON.stringify(document))
    sameData(name, sorted(await outcome(read, spell(document, random))), sorted(expected))
  },
  { runs: casesAtTier(60, 400) },
)
stateLaw(spelledAlike, respell)

/** Lists of pairs in the order of their keys: the tokens of a vocabulary are known by their ids. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    const all = value.map(sorted)
    const isPairs =
      all.length > 0 &&
      all.every(
        (one) =>
          Array.isArray(one) && one.length === 2 && typeof one[0] === 'string' && typeof one[1] === 'number',
      )
    return isPairs ? (all as [string, number][]).toSorted(([, a], [, b]) => a - b) : all
  }
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, sorted(one)]))
}

test('a reader by the order of entries, or of another value, is found', () =>
  kills(spelledAlike, (document, random) => {
    const entries = Object.entries(document as Document)
    const [[first, value]] = entries
    return respell(
      typeof value === 'number' ? { ...(document as Document), [first]: value + 1 } : document,
      random,
    )
  }))

// ---- GGUF ------------------------------------------------------------------------------------------------------------

const pieces = ['<unk>', '<s>', '</s>', ...byteTokens, '\u2581', 'a', 'b', 'ab', '\u2581a']
const letters = ['<unk>', '<s>', '</s>', ...byteCharacters, 'ab', 'x1', 'x2', 'x3', 'x4']
// Heads of two pairs: the first one has the same rotation at any base.
const [W, H, F, V] = [16, 4, 6, pieces.length]

function ggufTensors(): FileTensor[] {
  const random = new Random(1)
  const tensor = (name: string, ...dimensions: number[]): FileTensor => ({
    name,
    shape: dimensions,
    data: Float32Array.from({ length: dimensions.reduce((a, b) => a * b, 1) }, () => random.uniform()),
  })
  return [
    tensor('token_embd.weight', V, W),
    tensor('output_norm.weight', W),
    ...[0, 1].flatMap((layer) =>
      [
        tensor('attn_norm.weight', W),
        tensor('attn_q.weight', W, W),
        tensor('attn_k.weight', W, W),
        tensor('attn_v.weight', W, W),
        tensor('attn_output.weight', W, W),
        tensor('ffn_norm.weight', W),
        tensor('ffn_gate.weight', F, W),
        tensor('ffn_up.weight', F, W),
        tensor('ffn_down.weight', W, F),
      ].map(({ name, ...rest }) => ({ ...rest, name: `blk.${layer}.${name}` })),
    ),
  ]
}

type Entries = Readonly<Record<string, EntryValue>>

const ggufBase = (architecture: string): Entries => ({
  'general.architecture': architecture,
  [`${architecture}.attention.head_count`]: H,
  [`${architecture}.embedding_length`]: W,
  [`${architecture}.block_count`]: 2,
  [`${architecture}.feed_forward_length`]: F,
  [`${architecture}.context_length`]: 16,
  [`${architecture}.attention.layer_norm_rms_epsilon`]: { float: 1e-5 },
})

/** Vocabularies: what they need, and whether a text begins with the first token unless the file says otherwise. */
const vocabularies: Readonly<Record<string, { readonly entries: Entries; readonly begins: boolean }>> = {
  none: { entries: {}, begins: false },
  llama: {
    entries: {
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': pieces,
      'tokenizer.ggml.scores': Float32Array.from(pieces, (_, id) => -id),
      'tokenizer.ggml.bos_token_id': 1,
      'tokenizer.ggml.eos_token_id': 2,
    },
    begins: true,
  },
  ...Object.fromEntries(
    (['gpt-2', 'llama-bpe', 'smollm', 'qwen2'] as const).map((pre) => [
      pre,
      {
        entries: {
          'tokenizer.ggml.model': 'gpt2',
          'tokenizer.ggml.pre': pre,
          'tokenizer.ggml.tokens': letters,
          'tokenizer.ggml.merges': ['a b'],
          'tokenizer.ggml.bos_token_id': 1,
          'tokenizer.ggml.eos_token_id': 2,
        },
        begins: pre === 'llama-bpe',
      },
    ]),
  ),
}

/** The defaults of a file, by key without the architecture; null where being there is the question. */
const ggufDefaults = (begins: boolean): Readonly<Record<string, EntryValue | null>> => ({
  'attention.head_count_kv': H,
  'attention.key_length': W / H,
  'attention.value_length': W / H,
  'rope.dimension_count': W / H,
  expert_count: 0,
  'rope.scaling.attn_factor': { float: 1 },
  'rope.freq_base': { float: 10_000 },
  'rope.scaling.type': 'none',
  'rope.scaling.factor': { float: 1 },
  'rope.scale_linear': { float: 1 },
  'rope.scaling.original_context_length': 16,
  'attention.sliding_window': 16,
  vocab_size: V,
  'split.count': 1,
  'tokenizer.ggml.add_bos_token': begins,
  'tokenizer.ggml.add_eos_token': false,
  'tokenizer.ggml.add_space_prefix': true,
  'tokenizer.ggml.token_type': new Int32Array(V).fill(1),
  'tokenizer.ggml.eot_token_id': 2,
  'tokenizer.ggml.bos_token_id': 1,
  'tokenizer.ggml.eos_token_id': 2,
  'tokenizer.ggml.padding_token_id': null,
  'tokenizer.ggml.model': null,
  'tokenizer.ggml.tokens': null,
  'tokenizer.chat_template': null,
  'general.sampling.temp': null,
  'general.sampling.top_k': 0,
  'general.sampling.top_p': { float: 0 },
  'general.sampling.min_p': null,
  'general.sampling.penalty_repeat': null,
})

async function ggufOutcome(bytes: Uint8Array): Promise<unknown> {
  try {
    const {
      configJson,
      source: tensors,
      vocabulary,
      chat,
      sampling,
    } = await readGguf(bytesAsFile(bytes), 'file')
    const values: [string, unknown][] = []
    for (const name of [...tensors.tensors.keys()].toSorted()) values.push([name, await tensors.read(name)])
    const config = outcomeOfConfig(parseConfig(configJson))
    return { config, values, vocabulary: plain(vocabulary), chat, sampling }
  } catch (error) {
    if (error instanceof ShadowError) return { refused: error.code }
    throw error
  }
}

describe('a GGUF file:', () => {
  /** Keys that the readers treat as optional, from their sources. */
  const optionalKeys = (): string[] => {
    const text = source('io/gguf_model.ts') + source('io/gguf_tokenizer.ts')
    const found = [
      ...text.matchAll(
        /(?:entries\.has|optional|entries\.expect|entries\.flag)\(\s*(own|key)?\(?'([\w.]+)'/g,
      ),
      ...text.matchAll(/(own)\('(rope\.scal\w+\.?\w*|attention\.sliding_window)'\)/g),
    ].map(([, call, key]) => (call === 'key' ? `tokenizer.ggml.${key}` : key))
    const sampling = ['temp', 'top_k', 'top_p', 'min_p', 'penalty_repeat'].map(
      (key) => `general.sampling.${key}`,
    )
    const named = ['eos_token_id', 'eot_token_id', 'bos_token_id'].map((key) => `tokenizer.ggml.${key}`)
    return [...new Set([...found, ...named, ...sampling])]
  }

  test('every optional entry of the readers has a default', () => {
    expect(optionalKeys().length).toBeGreaterThan(15)
    expect(optionalKeys().filter((key) => !(key in ggufDefaults(true)))).toEqual([])
  })

  for (const architecture of ['llama', 'qwen2'])
    test(`of ${architecture}: an absent entry means its default, with every kind of vocabulary`, async () => {
      const tensors = ggufTensors()
      for (const [name, { entries, begins }] of Object.entries(vocabularies)) {
        const base = { ...ggufBase(architecture), ...entries }
        const absent = await ggufOutcome(encodeGguf(Object.entries(base), tensors))
        expect(absent, name).not.toHaveProperty('refused')
        const defaults = Object.entries(ggufDefaults(begins)).filter(
          ([key, value]) =>
            value !== null && !(key in base) && (name !== 'none' || !key.startsWith('tokenizer.ggml.')),
        ) as [string, EntryValue][]
        for (const [key, value] of defaults) {
          const own = /^(tokenizer|split|general)\./.test(key) ? key : `${architecture}.${key}`
          const bytes = encodeGguf(Object.entries({ ...base, [own]: value }), tensors)
          sameData(`${name}: ${key}`, await ggufOutcome(bytes), absent)
        }
      }
    })

  test('another default of add_bos_token would be found', async () => {
    const tensors = ggufTensors()
    for (const { entries, begins } of Object.values(vocabularies).slice(1)) {
      const base = { ...ggufBase('llama'), ...entries }
      const [absent, other] = [base, { ...base, 'tokenizer.ggml.add_bos_token': !begins }].map((one) =>
        ggufOutcome(encodeGguf(Object.entries(one), tensors)),
      )
      expect(await other).not.toEqual(await absent)
    }
  })

  test('entries, tensors and their values in any order have the same outcome', async () => {
    const tensors = ggufTensors()
    const entries = Object.entries({ ...ggufBase('llama'), ...vocabularies.llama.entries })
    const expected = await ggufOutcome(encodeGguf(entries, tensors))
    for (let seed = 0; seed < 200; seed++) {
      if (!isAtTier(seed, 10)) continue
      const random = new Random(seed)
      const shuffled = <T>(list: readonly T[]): T[] =>
        [...random.permutation(list.length)].map((i) => list[i])
      const bytes = encodeGguf(
        shuffled(entries),
        shuffled(tensors),
        seed % 2 === 0 ? undefined : shuffled(tensors),
      )
      sameData(`order ${seed}`, await ggufOutcome(bytes), expected)
    }
  })
})

// ---- safetensors, and files made of it -------------------------------------------------------------------------------

interface Stored {
  readonly name: string
  readonly shape: readonly number[]
  readonly values: Float32Array
}

/** A file whose header lists the tensors in one order, and which has their values in another. */
function encodeTensors(
  listed: readonly Stored[],
  placed: readonly Stored[],
  random: Random,
  metadata: Json | null,
): Uint8Array {
  let at = 0
  const spans = new Map<Stored, [number, number]>()
  for (const tensor of placed) {
    spans.set(tensor, [at, at + tensor.values.byteLength])
    at += tensor.values.byteLength
  }
  const entries = listed.map((tensor): [string, Json] => [
    tensor.name,
    { dtype: 'F32', shape: tensor.shape, data_offsets: spans.get(tensor) as [number, number] },
  ])
  const all = Object.fromEntries(metadata === null ? entries : [...entries, ['__metadata__', metadata]])
  const text = new TextEncoder().encode(respell(all, random, true))
  const bytes = new Uint8Array(8 + text.length + at)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true)
  bytes.set(text, 8)
  for (const [{ values }, [begin]] of spans) bytes.set(new Uint8Array(values.buffer), 8 + text.length + begin)
  return bytes
}

type Parse = typeof parseSafetensors

const anyOrder = lawForAll(
  'the tensors of a safetensors file, empty ones too, may be listed and placed in any order',
  {
    tensors: fc.uniqueArray(
      fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), rows: fc.nat({ max: 3 }) }),
      {
        minLength: 1,
        maxLength: 6,
        size: 'max',
        selector: ({ name }) => name,
      },
    ),
    seed: fc.nat(),
    withMetadata: fc.boolean(),
  },
  async (parse: Parse, { tensors, seed, withMetadata }) => {
    const random = new Random(seed)
    const all = tensors.map(({ name, rows }, i): Stored => ({
      name,
      shape: [rows, 2],
      values: Float32Array.from({ length: 2 * rows }, (_, n) => 10 * i + n),
    }))
    const shuffled = (): Stored[] => [...random.permutation(all.length)].map((i) => all[i])
    const metadata = withMetadata ? { note: 'x' } : null
    const opened = await parse(
      encodeTensors(shuffled(), shuffled(), random, metadata) as Uint8Array<ArrayBuffer>,
    )
    sameData('names', [...opened.tensors.keys()].toSorted(), all.map(({ name }) => name).toSorted())
    for (const { name, values } of all) sameData(name, await opened.read(name), values)
    sameData('metadata', [...opened.metadata], withMetadata ? [['note', 'x']] : [])
  },
)
stateLaw(anyOrder, parseSafetensors)

/** A reader that refuses some places of tensors, in the order of the header. */
const refusing =
  (isWrong: (places: readonly (readonly [begin: number, end: number])[]) => boolean): Parse =>
  async (bytes, name) => {
    const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true))
    const { __metadata__, ...tensors } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)))
    const places = Object.values(tensors as Record<string, { data_offsets: [number, number] }>)
    if (isWrong(places.map(({ data_offsets }) => data_offsets))) throw new Error('refused')
    return parseSafetensors(bytes, name)
  }

killsEach('a reader that wants %s: killed', anyOrder, {
  'an empty tensor before its neighbour': refusing((places) =>
    places.some(
      ([begin, end], i) =>
        begin === end && places.slice(0, i).some(([first, last]) => first === begin && last > begin),
    ),
  ),
  'values in the order of the header': refusing((places) =>
    places.some(([begin], i) => i > 0 && begin < places[i - 1][0]),
  ),
})

test('a mask, and a checkpoint of several files, are the same in any order', async () => {
  const random = new Random(3)
  const masks: Stored[] = [
    { name: 'head_mask', shape: [2, 4], values: Float32Array.from({ length: 8 }, () => random.below(2)) },
    { name: 'ffn_mask', shape: [2, 6], values: Float32Array.from({ length: 12 }, () => random.below(2)) },
    { name: 'more', shape: [0], values: new Float32Array(0) },
  ]
  const path = join(folder, 'mask.safetensors')
  const read = async (listed: readonly Stored[], placed: readonly Stored[]): Promise<unknown> => {
    writeFileSync(path, encodeTensors(listed, placed, random, null))
    return plain(await readMask(path, shape))
  }
  const expected = await read(masks, masks)
  for (let seed = 0; seed < 12; seed++) {
    const orders = [0, 1].map(() => [...random.permutation(3)].map((i) => masks[i]))
    sameData('mask', await read(orders[0], orders[1]), expected)
  }
  const files = ['x.safetensors', 'y.safetensors']
  for (const [i, file] of files.entries())
    writeFileSync(join(folder, file), encodeTensors([masks[i]], [masks[i]], random, { of: file }))
  const weightMap: Json = { head_mask: files[0], ffn_mask: files[1] }
  const outcomes: unknown[] = []
  for (let seed = 0; seed < 8; seed++) {
    writeFileSync(
      join(folder, shardIndexName),
      respell({ metadata: { total_size: 80 }, weight_map: weightMap }, random),
    )
    const opened = await openShards(join(folder, shardIndexName), '.safetensors', openSafetensors)
    outcomes.push([
      await opened.read('head_mask'),
      await opened.read('ffn_mask'),
      [...opened.tensors.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)),
      [...opened.metadata],
    ])
    await opened.close()
  }
  for (const one of outcomes) sameData('shards', one, outcomes[0])
})

// ---- Spellings of headers --------------------------------------------------------------------------------------------

test('a request may spell its content type and its key in any case', async () => {
  const server = serverOf(opt, { apiKey: 'secret' })
  for (const [type, key] of [
    ['application/json', 'Bearer secret'],
    ['Application/JSON; charset=utf-8', 'bearer secret'],
    ['APPLICATION/JSON ;x=1', 'BEARER  secret'],
  ]) {
    const init = { headers: { 'content-type': type, authorization: key } }
    expect((await ask(server, '/tokenize', '{"prompt":"a"}', init)).status, type).toBe(200)
  }
})

test('the hash that a hub tells with a file may be spelled as a strong or a weak etag, and a wrong one is refused in each', async () => {
  for (const spell of [
    (hash: string) => `"${hash}"`,
    (hash: string) => `W/"${hash}"`,
    (hash: string) => hash,
  ]) {
    const right = await hubCase()
    right.hub.spellEtag = spell
    await openHubModel(right.hub.id, {}, right.settings)
    const wrong = await hubCase()
    wrong.hub.spellEtag = (hash) => spell(hash.replaceAll('a', 'b'))
    expect(await codeOf(() => openHubModel(wrong.hub.id, {}, wrong.settings))).toBe('HUB_HASH')
  }
})
