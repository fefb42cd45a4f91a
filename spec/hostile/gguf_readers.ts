/**
 * The readers of GGUF files as functions of bytes: of all that a file says, and of the model that it is.
 */
import {
  byteLevelEntries,
  entriesWith,
  everyType,
  F16,
  F32,
  fewEntries,
  ggufFile,
  layersThatDiffer,
  pieceEntries,
  Q4_0,
  Q6_K,
  rotationFactors,
  smallEntries,
  smallGguf,
  smallTensors,
  someTensor,
} from '../../fixtures/hostile/build_gguf.ts'
import { createBackend } from '../../src/backends/select.ts'
import { parseConfig } from '../../src/engine/config.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { bytesAsFile } from '../../src/io/files.ts'
import { readGguf } from '../../src/io/gguf_model.ts'
import { mergesOf } from '../../src/io/piece_merges.ts'
import { createTokenizer } from '../../src/io/tokenizer.ts'
import type { Vocabulary } from '../../src/io/vocabulary.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { rowsOf, type RawTensorSource, type TensorInfo } from '../../src/tensor/tensor_source.ts'
import type { Reader } from './reader.ts'
import { repairGguf } from './repair.ts'

const backend = createBackend('reference')

/** Words and numbers of the format. */
const words = [
  '\x04\0\0\0\0\0\0\0GGUF',
  'general.alignment',
  'general.architecture',
  'llama.attention.head_count',
  'deci.feed_forward_length',
  'llama.rope.scaling.type',
  'llama.vocab_size',
  'split.count',
  'tokenizer.ggml.scores',
  'tokenizer.ggml.add_space_prefix',
  'tokenizer.chat_template',
  'blk.0.attn_q.weight',
  'blk.00.attn_q.weight',
  'token_embd.weight',
  'output.weight',
  'rope_freqs.weight',
  '__proto__',
  'constructor',
  '<0x41>',
  '\u2581',
  '</s>',
  '\x08\0\0\0',
  '\x09\0\0\0\x09\0\0\0',
  '\x0c\0\0\0',
]

/** Whole tensors, their rows, last ones first, and their streams, which must all say the same. */
export async function tensorsOf(source: RawTensorSource): Promise<unknown> {
  const read: unknown[] = []
  for (const info of source.tensors.values()) {
    const raw = sameNaN(info, await source.readRaw(info.name))
    const values = await source.read(info.name)
    const { rows, columns } = rowsOf(info.shape)
    const middle = Math.floor((rows * 2) / 3)
    const late = await source.readRows(info.name, middle, rows - middle)
    const early = await source.readRows(info.name, 0, middle)
    if (
      !isSame(late, values.subarray(middle * columns)) ||
      !isSame(early, values.subarray(0, middle * columns))
    )
      throw new RangeError('rows are not those of the whole')
    if (raw.length !== info.byteLength) throw new RangeError('a size that is not that of the bytes')
    let at = 0
    for await (const { first, bytes } of source.stream(info.name, 1 + Math.floor(raw.length / 3))) {
      if (first !== (at * rows) / raw.length) throw new RangeError('a row in a wrong place')
      const part = sameNaN(info, bytes.slice())
      if (Buffer.compare(part, raw.subarray(at, at + part.length)) !== 0)
        throw new RangeError('a stream is not the bytes')
      at += part.length
    }
    if (at !== raw.length) throw new RangeError('a stream ended early')
    read.push([info, raw, values.map((value) => (Number.isNaN(value) ? NaN : value))])
  }
  return read
}

/** The same bytes where NaN has one pattern: which one an operation gives is up to the processor. */
function sameNaN({ stored }: TensorInfo, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (stored === undefined) return bytes
  const patterns = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
  for (const [i, pattern] of patterns.entries())
    if ((pattern & 0x7fffffff) > 0x7f800000) patterns[i] = 0x7fc00000
  return bytes
}

function isSame(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => Object.is(value, b[i]))
}

/** What a vocabulary does to texts, which come back where it has their bytes. */
function tokenized(vocabulary: Vocabulary): unknown {
  const tokenizer = createTokenizer(vocabulary)
  const encoded = ['abc', 'abc ab\u00e9 \u{1f600}</s>', ''].map((text) => {
    try {
      const ids = tokenizer.encode(text, { prefix: false })
      if (tokenizer.decode(ids) !== text) throw new RangeError('a text did not come back')
      if (ids.some((id) => [...vocabulary.special].some((token) => vocabulary.ids.get(token) === id)))
        throw new RangeError('a text became a special token')
      return ids
    } catch (error) {
      if (error instanceof InputError && error.code === 'TEXT_BYTE') return error.code
      throw error
    }
  })
  return [
    tokenizer.vocabularySize,
    tokenizer.special,
    encoded,
    tokenizer.encode('a'),
    mergesOf(vocabulary).length,
  ]
}

/** See the head of this file. */
export const ggufReaders: readonly Reader[] = [
  {
    name: 'gguf',
    async read(bytes) {
      const { configJson, source, vocabulary, chat } = await readGguf(bytesAsFile(bytes), 'm.gguf')
      try {
        return [
          parseConfig(configJson),
          [...source.metadata],
          await tensorsOf(source),
          vocabulary && tokenized(vocabulary),
          chat,
        ]
      } finally {
        await source.close()
      }
    },
    valid: async () => [
      everyType(),
      layersThatDiffer(),
      ggufFile({ entries: entriesWith(smallEntries('qwen2'), fewEntries), tensors: qwenTensors }),
      ggufFile({
        entries: entriesWith(smallEntries(), pieceEntries()),
        tensors: [someTensor('token_embd.weight', F32, [267, 1])],
      }),
      ggufFile({
        entries: entriesWith(smallEntries(), byteLevelEntries),
        tensors: [someTensor('token_embd.weight', F16, [261, 1])],
      }),
    ],
    words,
    repair: repairGguf,
  },
  {
    name: 'gguf-model',
    async read(bytes) {
      const { configJson, source } = await readGguf(bytesAsFile(bytes), 'm.gguf')
      try {
        const model = await LanguageModel.load(parseConfig(configJson), source, await backend)
        try {
          const sequence = model.begin()
          try {
            return [{ ...model.shape }, sequence.feed(Int32Array.of(0))]
          } finally {
            sequence.dispose()
          }
        } finally {
          model.dispose()
        }
      } finally {
        await source.close()
      }
    },
    valid: async () => [
      smallGguf(),
      smallGguf(fewEntries, Q4_0),
      ggufFile({
        entries: entriesWith(smallEntries()),
        tensors: [...smallTensors(F16), rotationFactors([1, 1, 2, 3])],
      }),
      layersThatDiffer(),
    ],
    words,
    repair: repairGguf,
  },
]

const qwenTensors = [
  someTensor('token_embd.weight', F32, [7, 2]),
  someTensor('blk.0.attn_q.bias', F32, [4]),
  someTensor('blk.0.attn_q.weight', Q6_K, [2, 256]),
]
