/**
 * GGUF files of the golden models, as llama.cpp stores them, give the configuration and the weights that their Hugging Face
 * files give; rows can be read in any cuts; a model is found by its file, or as the only one of a folder.
 *
 * Tests src/io/gguf_model.ts.
 */
import fc from 'fast-check'
import { cpSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../src/engine/config.ts'
import { readGguf, type GgufModel } from '../../src/io/gguf_model.ts'
import { bytesAsFile } from '../../src/io/files.ts'
import { openModelFolder } from '../../src/io/load.ts'
import { parseSafetensors } from '../../src/io/safetensors.ts'
import { rotaryTable, type Rotary } from '../../src/ops/rotary.ts'
import { decodeFloats } from '../../src/tensor/dtypes.ts'
import { narrowToBf16, narrowToF16, widenBf16, widenF16 } from '../../src/tensor/halves.ts'
import { BLOCK_BYTES, blocksOf, dequantizeBlocks } from '../../src/tensor/int4.ts'
import {
  rowsOf,
  type RawTensorSource,
  type StoredRows,
  type TensorInfo,
} from '../../src/tensor/tensor_source.ts'
import { near, sameBits, sameNumbers } from '../../src/verify/compare.ts'
import { kills, killsEach, lawForAll, lawOf, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const fixtures = fileURLToPath(new URL('../../fixtures/golden-llama/', import.meta.url))

/** Every file, by its variant and its type. */
const files = [
  ['llama_gqa', 'F32'],
  ['llama_mha', 'F32'],
  ['llama3_rope', 'F32'],
  ['mistral', 'F32'],
  ['llama_gqa', 'F16'],
  ['llama_gqa', 'BF16'],
  ['llama_gqa', 'Q8_0'],
  ['llama_gqa', 'Q5_1'],
  ['llama_gqa', 'Q5_0'],
  ['llama_gqa', 'Q4_1'],
  ['llama_gqa', 'Q4_0'],
] as const
type File = (typeof files)[number]

const pathOf = ([variant, type]: File): string => join(fixtures, 'gguf/models', `${variant}.${type}.gguf`)
const open = (file: File): Promise<GgufModel> =>
  readGguf(bytesAsFile(readFileSync(pathOf(file))), file.join('.'))

/** The weights of the variant in float32. */
const hugging = new Map<string, RawTensorSource>()
for (const [variant] of files)
  hugging.set(variant, await parseSafetensors(readFileSync(join(fixtures, variant, 'model.safetensors'))))
const weightsOf = (variant: string, name: string): Promise<Float32Array> =>
  (hugging.get(variant) as RawTensorSource).read(name)

/** The largest error of a type, as a share of the largest weight of a tensor. */
const steps = { Q8_0: 1 / 127, Q5_1: 1 / 31, Q5_0: 1 / 15, Q4_1: 1 / 15, Q4_0: 1 / 7 } as const

type Open = (file: File) => Promise<Pick<GgufModel, 'configJson' | 'source'>>

const sameAsHuggingFace = lawForAll(
  'a file has the configuration and the tensors of the model in Hugging Face form: exactly in its precision, or within a step',
  { file: fc.constantFrom(...files) },
  async (judged: Open, { file }) => {
    const [variant, type] = file
    const { configJson, source } = await judged(file)
    const expected = parseConfig(JSON.parse(readFileSync(join(fixtures, variant, 'config.json'), 'utf8')))
    const { rotary, padId: _, ...rest } = parseConfig(configJson)
    const { rotary: scaled, padId: __, ...others } = expected
    expect(rest).toEqual(others)
    // Factors are the same scaling, rounded to float32.
    const angles = (of: Rotary | null): Float32Array => rotaryTable(of as Rotary, 64, expected.headSize)
    if (rotary?.scaling?.kind === 'factors') near('rotations', angles(rotary), angles(scaled), 64 * 2 ** -24)
    else expect(rotary).toEqual(scaled)
    expect([...source.tensors.keys()].toSorted()).toEqual(
      [...(hugging.get(variant) as RawTensorSource).tensors.keys()].toSorted(),
    )
    for (const { name, shape, dtype, stored } of source.tensors.values()) {
      const weights = await weightsOf(variant, name)
      const got = await source.read(name)
      expect(shape).toEqual(hugging.get(variant)?.tensors.get(name)?.shape)
      if (stored === undefined) {
        const rounded = {
          F32: weights,
          F16: widenF16(narrowToF16(weights)),
          BF16: widenBf16(narrowToBf16(weights)),
        }[dtype as 'F32' | 'F16' | 'BF16']
        sameBits(name, got, rounded)
        continue
      }
      const largest = weights.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0)
      const bound = 1.01 * largest * steps[type as keyof typeof steps]
      for (let i = 0; i < got.length; i++)
        expect(Math.abs(got[i] - weights[i]), `${name}[${i}]`).toBeLessThanOrEqual(bound)
    }
  },
  { runs: 4, examples: files.map((file) => ({ file })) },
)
stateLaw(sameAsHuggingFace, open)

const opened = new Map<File, GgufModel>()
for (const file of files) opened.set(file, await open(file))
const openedOf = (file: File): GgufModel => opened.get(file) as GgufModel

type SourceOf = (file: File) => RawTensorSource
const rowsInAnyCut = lawForAll(
  'rows of a tensor, alone or streamed in parts of any size, are those of the tensor read at once',
  {
    file: fc.constantFrom(...files),
    tensor: fc.nat(),
    from: fc.nat(),
    length: fc.nat(),
    part: fc.integer({ min: 1, max: 5000 }),
  },
  async (judged: SourceOf, { file, tensor, from, length, part }) => {
    const source = judged(file)
    const names = [...source.tensors.keys()]
    const info = source.tensors.get(names[tensor % names.length]) as TensorInfo
    const { rows, columns } = rowsOf(info.shape)
    const first = from % (rows + 1)
    const count = length % (rows - first + 1)
    const whole = await openedOf(file).source.read(info.name)
    sameBits(
      'rows',
      await source.readRows(info.name, first, count),
      whole.subarray(first * columns, (first + count) * columns),
    )
    let next = 0
    for await (const { first: at, bytes } of source.stream(info.name, part)) {
      expect(at).toBe(next)
      expect(bytes.length <= part || bytes.length * rows === info.byteLength).toBe(true)
      const values = decodeFloats(info.dtype, bytes.slice(), info.name)
      sameBits('part', values, whole.subarray(at * columns, at * columns + values.length))
      next += values.length / columns
    }
    expect(next).toBe(rows)
    sameBits('raw', decodeFloats(info.dtype, await source.readRaw(info.name), info.name), whole)
  },
)
stateLaw(rowsInAnyCut, (file) => openedOf(file).source)

const blocksAreNumbers = lawForAll(
  'int4 blocks of a tensor, in parts of any size, stand for its numbers; a file of other types has none',
  { file: fc.constantFrom(...files), tensor: fc.nat(), part: fc.integer({ min: 1, max: 5000 }) },
  async (judged: SourceOf, { file, tensor, part }) => {
    const source = judged(file)
    const names = [...source.tensors.keys()]
    const { name, shape, stored } = source.tensors.get(names[tensor % names.length]) as TensorInfo
    const { rows, columns } = rowsOf(shape)
    const blocks = source.streamBlocks?.(name, 'Q4_1', part) ?? null
    expect(blocks !== null).toBe(stored?.type === 'Q4_0' || stored?.type === 'Q4_1')
    if (blocks === null) return
    const whole = await openedOf(file).source.read(name)
    let next = 0
    for await (const { first, bytes } of blocks) {
      expect(first).toBe(next)
      const count = bytes.length / (blocksOf(columns) * BLOCK_BYTES)
      const numbers = dequantizeBlocks(new Uint32Array(bytes.slice().buffer), count, columns)
      sameNumbers('numbers', numbers, whole.subarray(first * columns, (first + count) * columns))
      next += count
    }
    expect(next).toBe(rows)
  },
  { runs: 300 },
)
stateLaw(blocksAreNumbers, (file) => openedOf(file).source)

killsEach(
  'a mutant of blocks is killed: %s',
  lawOf(
    blocksAreNumbers,
    (change: (parts: AsyncIterable<StoredRows>) => AsyncIterable<StoredRows>) => (file) => {
      const { source } = openedOf(file)
      return {
        ...source,
        streamBlocks: (name, type, length) => {
          const parts = source.streamBlocks?.(name, type, length) ?? null
          return parts && change(parts)
        },
      }
    },
  ),
  {
    'rows of a part in another order': async function* (parts) {
      for await (const { first, bytes } of parts) {
        const moved = bytes.slice()
        moved.copyWithin(0, BLOCK_BYTES)
        yield { first, bytes: moved }
      }
    },
    'the last part left out': async function* (parts) {
      let last: StoredRows | null = null
      for await (const part of parts) {
        if (last) yield last
        last = part
      }
    },
  },
)

describe('mutants are killed:', () => {
  /** A source whose rows come from elsewhere. */
  const moved =
    (rowOf: (row: number, info: TensorInfo) => number) =>
    (source: RawTensorSource): RawTensorSource => ({
      ...source,
      async read(name) {
        const info = source.tensors.get(name) as TensorInfo
        const { columns } = rowsOf(info.shape)
        const values = await source.read(name)
        return values.map((_, i) => values[rowOf(Math.floor(i / columns), info) * columns + (i % columns)])
      },
    })
  /** Rows as llama.cpp has them: of each head of K rows, 2 i + b is row b K / 2 + i of Hugging Face. */
  const asStored = (row: number, K: number): number =>
    row - (row % K) + (row % 2) * (K / 2) + Math.floor((row % K) / 2)
  const withSource =
    (change: (source: RawTensorSource) => RawTensorSource): Open =>
    async (file) => {
      const { configJson, source } = await open(file)
      return { configJson, source: change(source) }
    }
  killsEach('%s', sameAsHuggingFace, {
    'the rows of queries as they lie': withSource(
      moved((row, { name }) => (name.includes('q_proj') ? asStored(row, 8) : row)),
    ),
    'the rows of keys as they lie': withSource(
      moved((row, { name }) => (name.includes('k_proj') ? asStored(row, 8) : row)),
    ),
    'the rows of values put back too': withSource(
      moved((row, { name }) => (name.includes('v_proj') ? asStored(row, 8) : row)),
    ),
    'gate and up exchanged': withSource((source) => ({
      ...source,
      read: (name) =>
        source.read(name.replace(/gate|up(?=_proj)/, (word) => (word === 'up' ? 'gate' : 'up'))),
    })),
    'epsilon as the float32 it is stored as': async (file) => {
      const { configJson, source } = await open(file)
      return { configJson: { ...configJson, rms_norm_eps: Math.fround(1e-5) }, source }
    },
    'the factors of rotations forgotten': async (file) => {
      const { configJson, source } = await open(file)
      return { configJson: { ...configJson, rope_scaling: null }, source }
    },
    'groups forgotten': async (file) => {
      const { configJson, source } = await open(file)
      return { configJson: { ...configJson, num_key_value_heads: configJson.num_attention_heads }, source }
    },
  })

  test('rows of a head read from where the rows begin, not from where the head does', () =>
    kills(rowsInAnyCut, (file) => {
      const { source } = openedOf(file)
      return {
        ...source,
        readRows: async (name, first, count) => {
          const K = name.includes('q_proj') ? 8 : 1
          return source.readRows(name, first - (first % K), count)
        },
      }
    }))

  test('the last part of a stream cut', () =>
    kills(rowsInAnyCut, (file) => {
      const { source } = openedOf(file)
      return {
        ...source,
        async *stream(name, part) {
          const { rows } = rowsOf((source.tensors.get(name) as TensorInfo).shape)
          for await (const some of source.stream(name, part))
            if (some.first === 0 || some.first < rows / 2) yield some
        },
      }
    }))
})

describe('a model', () => {
  const folder = temporaryFolder()
  const gqa = pathOf(['llama_gqa', 'F16'])

  test('is a GGUF file, which has the configuration and the tokenizer too', async () => {
    const model = await openModelFolder(gqa)
    expect(model.files).toEqual({ folder: join(gqa, '..'), weights: gqa, all: [gqa] })
    expect(model.tokenizer?.decode([4, 5])).toBe(' !')
    expect(parseConfig(model.configJson).keyHeads).toBe(2)
    await model.source.close()
  })

  test('is the only GGUF file of a folder without other weights, beside a config.json or not', async () => {
    const only = join(folder, 'only')
    mkdirSync(only)
    cpSync(gqa, join(only, 'model.GGUF'))
    for (const beside of [[], ['config.json']]) {
      for (const name of beside) cpSync(join(fixtures, 'llama_gqa', name), join(only, name))
      const { files: found, source } = await openModelFolder(only)
      expect(found.weights).toBe(join(only, 'model.GGUF'))
      await source.close()
    }
    cpSync(join(fixtures, 'llama_gqa/model.safetensors'), join(only, 'model.safetensors'))
    const { files: found, source } = await openModelFolder(only)
    expect(found.weights).toBe(join(only, 'model.safetensors'))
    await source.close()
  })

  test('has to be named where a folder has several', async () => {
    const several = join(folder, 'several')
    mkdirSync(several)
    for (const name of ['a.gguf', 'b.gguf']) cpSync(gqa, join(several, name))
    await expect(openModelFolder(several)).rejects.toMatchObject({
      code: 'MODEL_WEIGHTS',
      message: `${several}: expected one GGUF file, or the path of one, got 2: "a.gguf", "b.gguf"`,
    })
  })
})

test('a file that ends in its header is said to end early', async () => {
  const bytes = readFileSync(pathOf(files[0])).subarray(0, 600)
  await expect(readGguf(bytesAsFile(bytes), 'cut.gguf')).rejects.toThrow(
    /^cut\.gguf: expected \d+ tensors, got room for \d+: the file ends early, or is damaged/,
  )
})
