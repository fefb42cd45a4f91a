/**
 * The readers of this project, all as functions of bytes: those of other people's formats here, those of its own in
 * own_readers.ts. `cell_thread.ts` loads this file.
 */
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostileInputs } from '../../fixtures/hostile/index.ts'
import { opt125m, preln } from '../../fixtures/hostile/config.ts'
import {
  dict,
  floatTensor,
  legacyFile,
  legacyStorage,
  makeZip,
  P,
  pickle,
  sizes,
  tensor,
  torchFile,
  type Zip,
} from '../../fixtures/hostile/build_torch.ts'
import { concat } from '../../fixtures/hostile/bytes.ts'
import type { HostileInput } from '../../fixtures/hostile/input.ts'
import { shardsBeside } from '../../fixtures/hostile/shards.ts'
import {
  smallMerges,
  smallPieces,
  smallTokenizer,
  unitsOf,
  vocabText,
} from '../../fixtures/hostile/tokenizer.ts'
import { createBackend } from '../../src/backends/select.ts'
import { bytesAsFile } from '../../src/io/files.ts'
import { parseJson, toPlain } from '../../src/io/json.ts'
import { parseSafetensors, openSafetensors } from '../../src/io/safetensors.ts'
import { openShards, parseShardIndex } from '../../src/io/shard_index.ts'
import { createTokenizer } from '../../src/io/tokenizer.ts'
import { readTorchCheckpoint } from '../../src/io/torch_checkpoint.ts'
import { isKind } from '../../src/io/pickle_values.ts'
import { unpickle } from '../../src/io/pickle.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { parseVocabularyFiles, type Vocabulary } from '../../src/io/vocabulary.ts'
import { openZip } from '../../src/io/zip.ts'
import { encodeSafetensors, type TensorToWrite } from '../../src/io/safetensors_writer.ts'
import { parseConfig, remoteCodeFields } from '../../src/engine/config.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { RawTensorSource } from '../../src/tensor/tensor_source.ts'
import { ggufReaders } from './gguf_readers.ts'
import { otherReaders } from './other_readers.ts'
import { ownReaders } from './own_readers.ts'
import { repairSafetensors, repairZip } from './repair.ts'
import type { Reader } from './reader.ts'

const golden = new URL('../../fixtures/golden/preln/', import.meta.url)

/** All that a source says: values as they are stored, and as numbers where they are any. */
async function everything(opened: Promise<RawTensorSource>): Promise<unknown> {
  const source = await opened
  try {
    const tensors: unknown[] = []
    for (const info of source.tensors.values()) {
      const raw = await source.readRaw(info.name)
      const values = /^B?F\d/.test(info.dtype) ? await source.read(info.name) : null
      tensors.push([info, raw, values])
    }
    return [[...source.metadata], tensors]
  } finally {
    await source.close()
  }
}

/** What a vocabulary does to a text, which must come back. */
function tokenized(vocabulary: Vocabulary): unknown {
  const tokenizer = createTokenizer(vocabulary)
  const text = 'abc Ġ é 😀'
  const ids = tokenizer.encode(text, { prefix: false })
  if (tokenizer.decode(ids) !== text) throw new RangeError('a text did not come back')
  return [tokenizer.vocabularySize, ids, tokenizer.decode([0, 1, 2, 3, 500, 900])]
}

const backend = createBackend('reference')

async function withModel<T>(config: unknown, use: (model: LanguageModel) => T): Promise<T> {
  const source = await parseSafetensors(new Uint8Array(readFileSync(new URL('model.safetensors', golden))))
  const model = await LanguageModel.load(parseConfig(config), source, await backend)
  try {
    return use(model)
  } finally {
    model.dispose()
  }
}

const tensors = new Map<string, TensorToWrite>([
  ['w', { dtype: 'F32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
  ['h', { dtype: 'F16', shape: [3], data: Float32Array.of(1, 2, 3) }],
  ['n', { dtype: 'U8', shape: [], data: Uint8Array.of(9) }],
])
const stateDict = pickle(
  P.ordered,
  '(',
  P.text('w'),
  floatTensor('0', [2, 3]),
  P.text('b'),
  floatTensor('0', [3], 3, 6),
  'u',
  dict([P.text('_metadata'), P.ordered]),
  'b',
)
const storages = { 0: new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer) }
const legacyTorch = legacyFile({
  tensors: dict([
    P.text('w'),
    tensor(legacyStorage('FloatStorage', '0', P.int(6)), P.int(0), sizes(2, 3), sizes(3, 1)),
  ]),
  storages: [[6, storages[0]]],
})
const twoEntries: Zip = makeZip([
  { name: 'm/a', data: concat('first'), descriptor: 'marked' },
  { name: 'm/b', data: concat('second') },
])

const indexText = concat(
  '{"metadata":{"total_size":3},"weight_map":{"a":"1.safetensors","c":"1.safetensors","b":"2.safetensors"}}',
)
const jsonWords = [
  '{"',
  '":',
  '[[',
  '__proto__',
  'constructor',
  '\\u0000',
  '\\ud800',
  '1e400',
  '\ufeff',
  'null',
]
const headerWords = [
  '"dtype":"F64"',
  '"BF16"',
  '"shape":[0]',
  '[4294967296,4294967296]',
  '"__metadata__":{}',
  ...jsonWords,
]
const pathWords = ['../', '/', '\\', 'C:', '%2e', 'NUL', '\u202e', '.', ' ']
const pickleWords = [
  'cos\nsystem\n',
  'ctorch\nFloatStorage\n',
  ')R',
  '(',
  't',
  'Q',
  '}',
  ']',
  'u',
  'e',
  'b',
  'N',
  '\x85',
  '0',
]

/** Every reader; hostile inputs name them. */
export const readers: readonly Reader[] = [
  {
    name: 'safetensors',
    read: (bytes) => everything(parseSafetensors(bytes)),
    valid: async () => [encodeSafetensors(tensors, { format: 'pt' }), encodeSafetensors(new Map())],
    words: headerWords,
    repair: repairSafetensors,
  },
  {
    name: 'shard-index',
    read: async (bytes) => parseShardIndex(bytes, 'i.index.json', '.safetensors'),
    valid: async () => [indexText],
    words: [...jsonWords, ...pathWords],
  },
  {
    name: 'shards',
    async read(bytes, folder) {
      for (const [name, content] of Object.entries(shardsBeside)) put(join(folder, name), content)
      link(join(folder, 'loop.safetensors'))
      const index = join(folder, 'model.safetensors.index.json')
      put(index, bytes, true)
      return everything(openShards(index, '.safetensors', openSafetensors))
    },
    valid: async () => [indexText],
    words: [...jsonWords, ...pathWords],
  },
  {
    name: 'zip',
    async read(bytes) {
      const archive = await openZip(bytesAsFile(bytes), 'a.zip')
      const read: unknown[] = []
      for (const entry of archive.entries.values()) read.push([entry, await archive.read(entry)])
      return read
    },
    valid: async () => [twoEntries.bytes, torchFile(stateDict, storages).bytes],
    words: ['PK\x01\x02', 'PK\x03\x04', 'PK\x05\x06', 'PK\x06\x06', 'PK\x06\x07', 'PK\x07\x08', ...pathWords],
    repair: repairZip,
  },
  {
    name: 'torch',
    read: (bytes) => everything(readTorchCheckpoint(bytesAsFile(bytes), 'checkpoint')),
    valid: async () => [torchFile(stateDict, storages).bytes],
    words: pickleWords,
    repair: repairZip,
  },
  {
    name: 'torch-legacy',
    read: (bytes) => everything(readTorchCheckpoint(bytesAsFile(bytes), 'checkpoint')),
    valid: async () => [legacyTorch],
    words: pickleWords,
  },
  {
    name: 'pickle',
    async read(bytes) {
      const value = unpickle(bytes, 'data.pkl')
      // What it holds may hold itself: only so much is looked at.
      return isKind(value, 'dict') ? [...value.items.keys()] : typeof value
    },
    valid: async () => [stateDict, pickle('](', P.int(1), P.text('x'), P.put(0), P.get(0), 'e')],
    words: pickleWords,
  },
  {
    name: 'json',
    read: async (bytes) => toPlain(parseJson(bytes, 'file.json')),
    valid: async () => [concat('{"a":[1,2.5e3,"\\u00e9\\n",null,true],"b":{"c":{}}}'), indexText],
    words: jsonWords,
  },
  {
    name: 'config',
    async read(bytes) {
      const json = toPlain(parseJson(bytes, 'config.json'))
      return [parseConfig(json), remoteCodeFields(json)]
    },
    valid: async () => [concat(JSON.stringify(opt125m))],
    words: jsonWords,
  },
  {
    name: 'model',
    read: (bytes) => withModel(toPlain(parseJson(bytes, 'config.json')), ({ shape }) => ({ ...shape })),
    valid: async () => [concat(JSON.stringify(preln))],
    words: ['"num_hidden_layers":1', '"do_layer_norm_before":false', '"tie_word_embeddings":false'],
  },
  {
    name: 'vocabulary',
    read: async (bytes) => tokenized(parseVocabularyFiles(bytes, concat(smallMerges))),
    valid: async () => [vocabText()],
    words: [...jsonWords, '"</s>":1', '"ab":7'],
  },
  {
    name: 'merges',
    read: async (bytes) => tokenized(parseVocabularyFiles(vocabText(), bytes)),
    valid: async () => [concat(smallMerges)],
    words: ['a b\n', ' ', '\r\n', '#version', '</s>', '\u0120'],
    readsPrefixes: true,
  },
  {
    name: 'tokenizer-json',
    read: async (bytes) => tokenized(parseTokenizerJson(bytes)),
    valid: async () => [smallTokenizer, smallPieces].map((json) => concat(JSON.stringify(json))),
    words: [...jsonWords, '"added_tokens":[{"id":2,"content":"</s>"}]', '"byte_fallback":true', '["a","b"]'],
  },
  {
    name: 'text',
    async read(bytes) {
      const units = new Uint16Array(bytes.slice(0, bytes.length & ~1).buffer)
      let text = ''
      for (const unit of units) text += String.fromCharCode(unit)
      const tokenizer = createTokenizer(parseVocabularyFiles(vocabText(), concat(smallMerges)))
      const ids = tokenizer.encode(text, { prefix: false })
      if (ids.some((id) => id < 4)) throw new RangeError('a text became a special token')
      if (tokenizer.decode(ids) !== text) throw new RangeError('a text did not come back')
      return ids
    },
    valid: async () => [unitsOf('Once upon a time, 12 cats’ tails…\n\t'), unitsOf('</s> é 👩‍👩‍👧 e\u0301')],
    words: ['\0<\0/\0s\0>', '\ud83d', '\r\0\n\0'],
    readsPrefixes: true,
  },
  {
    name: 'prompt',
    read: (bytes) =>
      withModel(preln, (model) => {
        const sequence = model.begin()
        try {
          return sequence.feed(Int32Array.from(bytes))
        } finally {
          sequence.dispose()
        }
      }),
    valid: async () => [Uint8Array.of(2, 5, 7, 11)],
    usage: ['CONTEXT_LENGTH', 'TOKENS'],
    readsPrefixes: true,
  },
  ...ggufReaders,
  ...ownReaders,
  ...otherReaders,
]

/** The inputs that the table has for a reader. */
export function inputsOf(name: string): readonly HostileInput[] {
  return hostileInputs.filter(({ reader }) => reader === name)
}

const written = new Map<string, Uint8Array>()

/** Writes a file, unless it is there: what stays the same is written once. */
function put(path: string, bytes: Uint8Array, always = false): void {
  if (!always && written.get(path) === bytes) return
  writeFileSync(path, bytes)
  written.set(path, bytes)
}

function link(path: string): void {
  if (written.has(path)) return
  symlinkSync(path, path)
  written.set(path, new Uint8Array(0))
}
