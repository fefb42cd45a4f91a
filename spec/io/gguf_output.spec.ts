/**
 * A GGUF file of a model that was read from one and changed is the model that a folder would have: configuration, numbers as its type rounds
 * them, tokenizer and chat template; and layers of a llama keep as many units as they have.
 *
 * Tests src/io/gguf_formats.ts and src/tensor/stored_source.ts.
 */
import fc from 'fast-check'
import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { ggufModel, plainTokenizer } from '../../bench/peers/gguf_model.ts'
import { smallerModel } from '../../src/compensation/smaller_model.ts'
import { makeConfig, parseConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import type { Checkpoint, OutputForm } from '../../src/io/conversion.ts'
import { convertCheckpoint } from '../../src/io/convert.ts'
import { bytesAsFile } from '../../src/io/files.ts'
import { readGgufHeader, type GgufHeader } from '../../src/io/gguf.ts'
import { formats, type Format } from '../../src/io/gguf_formats.ts'
import { ggufNames, openGguf, readGguf } from '../../src/io/gguf_model.ts'
import { encode, formatOf, ggufFile } from '../../src/io/gguf_writer.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import { dequantizeBlocks } from '../../src/tensor/int4.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { rowsOf, type RawTensorSource } from '../../src/tensor/tensor_source.ts'
import { sameBits, sameNumbers } from '../../src/verify/compare.ts'
import { anyData, killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { encodeGguf, type EntryValue } from './gguf_file.ts'
import { bytesOf, numbersIn } from './gguf_numbers.ts'

const folder = temporaryFolder()
const models = fileURLToPath(new URL('../../fixtures/golden-llama/gguf/models', import.meta.url))

type Convert = typeof convertCheckpoint

const headerOf = (path: string): Promise<GgufHeader> => readGgufHeader(bytesAsFile(readFileSync(path)), path)

/** Names in a file by those of Hugging Face. */
const namesIn = (layers: number): Map<string, string> =>
  new Map([...ggufNames('llama', layers)].map(([name, { hugging }]) => [hugging, name]))

/** The numbers of a tensor as a file of this format has them. Rows are whole blocks, so that their order does not matter. */
async function roundedTo(
  format: Format,
  source: RawTensorSource,
  name: string,
  layers: number,
): Promise<Float32Array> {
  const shape = source.tensors.get(name)?.shape ?? []
  const own = formatOf(namesIn(layers).get(name) ?? '', shape, format)
  return numbersIn(own, encode(own, await source.read(name)))
}

// ---- As it is ----------------------------------------------------------------------------------------------------

const staysTheModel = lawForAll(
  'a file converted to another has its entries to the byte, but for those of the type, and the numbers that the type has',
  { name: fc.constantFrom(...readdirSync(models)), type: fc.constantFrom(...formats) },
  async (convert: Convert, { name, type }) => {
    const [from, to] = [join(models, name), join(folder, 'same.gguf')]
    await convert(from, to, { type, force: true })
    const [before, after] = [await openGguf(from), await openGguf(to)]
    try {
      const { head_dim: size, ...config } = after.configJson
      expect(config).toEqual(before.configJson)
      expect(size).toBeUndefined()
      for (const tensor of before.source.tensors.keys())
        sameBits(
          tensor,
          await after.source.read(tensor),
          await roundedTo(type, before.source, tensor, config.num_hidden_layers as number),
        )
      expect([...after.source.tensors.keys()]).toEqual([...before.source.tensors.keys()])
    } finally {
      await before.source.close()
      await after.source.close()
    }
    const own = (header: GgufHeader): [string, unknown][] =>
      [...header.entries]
        .filter(([key]) => !/^general\.(file_type|quantization_version)$/.test(key))
        .toSorted()
    const [old, made] = [await headerOf(from), await headerOf(to)]
    expect(own(made).filter(([key]) => old.entries.has(key))).toEqual(own(old))
    expect(made.entries.get('general.file_type')).toBe({ F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 7 }[type])
    expect([...made.tensors.keys()]).toEqual([...old.tensors.keys()])
  },
  { runs: 12 },
)
stateLaw(staysTheModel, convertCheckpoint)

killsEach('a conversion %s is killed', staysTheModel, {
  'of another type': (from, to, options) =>
    convertCheckpoint(from, to, { ...options, type: options?.type === 'F32' ? 'F16' : 'F32' }),
  'of another model': (_, to, options) =>
    convertCheckpoint(join(models, 'llama3_rope.F32.gguf'), to, options),
})

// ---- Smaller ------------------------------------------------------------------------------------------------------

const config = makeConfig({
  family: 'llama',
  layers: 3,
  width: 64,
  heads: 6,
  keyHeads: 3,
  headSize: 32,
  neurons: 96,
  vocabulary: 300,
  positions: 50,
  rotary: { base: 100_000, scaling: null },
})
const { layers, heads, neurons } = config
const large = join(folder, 'large.gguf')
const weights = memorySource(initialWeights(config, { seed: 3, deviation: 0.3 }))
await writeFile(large, await turned(ggufModel(config, weights, 'F32', plainTokenizer(300))))

/** The file with its tensors in the opposite order: a file need not have its layers in theirs. */
async function turned(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const bytes = await bytesOf(parts)
  const { places, tensors } = await readGgufHeader(bytesAsFile(bytes), 'file')
  return bytesOf(
    ggufFile(
      new Map([...places].map(([key, place]) => [key, bytes.slice(...place)])),
      [...tensors.values()].toReversed().map(({ name, shape, start, byteLength }) => ({
        name,
        shape,
        format: 'F32',
        read: async () => bytes.slice(start, start + byteLength),
      })),
    ),
  )
}

/** Makes a smaller model of the file. */
type Shrink = (to: string, mask: UnitMask, type: Format) => Promise<unknown>
const shrink: Shrink = (to, mask, type) =>
  convertCheckpoint(large, to, {
    type,
    force: true,
    change: (from, form) => smallerModel(from, config, mask, null, form),
  })

/** How many units of each layer a mask keeps, with neurons in whole blocks. */
function keptBy(mask: UnitMask, multiple: number) {
  const kept = (table: Float32Array, units: number): number[][] =>
    Array.from({ length: layers }, (_, l) =>
      Array.from({ length: units }, (_, u) => u).filter((u) => table[l * units + u] === 1),
    )
  const inGroup = kept(mask.heads, heads).map((own) => [...Map.groupBy(own, (h) => h >> 1).values()])
  const most = inGroup.map((groups) => Math.max(1, ...groups.map(({ length }) => length)))
  return {
    'attention.head_count_kv': inGroup.map(({ length }) => Math.max(1, length)),
    'attention.head_count': inGroup.map(({ length }, l) => Math.max(1, length) * most[l]),
    feed_forward_length: kept(mask.neurons, neurons).map(
      ({ length }) => Math.ceil(Math.max(1, length) / multiple) * multiple,
    ),
  }
}

const isSmaller = lawForAll(
  'a file without skipped units has as many as its layers keep, and the numbers of the folder of Hugging Face',
  { type: fc.constantFrom(...formats), rarely: fc.boolean(), data: anyData },
  async (judged: Shrink, { type, rarely, data }) => {
    // Layers that keep the same numbers are rare otherwise.
    const most = data.whole('most', 0, neurons)
    const table = (name: string, units: number): Float32Array =>
      Float32Array.from({ length: layers * units }, (_, i) => {
        const at = i % units
        if (rarely) return Number(at < Math.max(2, Math.min(units, most)))
        return Number(data.chance(name === 'heads' ? 0.5 : 0.3))
      })
    const mask = makeMask({ layers, heads, neurons }, table('heads', heads), table('neurons', neurons))
    const to = join(folder, 'small.gguf')
    await judged(to, mask, type)
    const multiple = type.startsWith('Q') ? 32 : 1
    const [whole, made] = [await openGguf(large), await openGguf(to)]
    try {
      const { entries } = await headerOf(to)
      const differ = Object.values(keptBy(mask, multiple)).some((list) => new Set(list).size > 1)
      expect(entries.get('general.architecture')).toBe(differ ? 'deci' : 'llama')
      for (const [key, list] of Object.entries(keptBy(mask, multiple)))
        expect(entries.get(`${differ ? 'deci' : 'llama'}.${key}`)).toEqual(
          differ ? Int32Array.from(list) : list[0],
        )
      const hugging = smallerModel(whole, config, mask, null, { layersDiffer: false, multiple })
      expect(parseConfig(made.configJson)).toEqual(parseConfig(hugging.configJson))
      expect([...made.source.tensors.keys()].toSorted()).toEqual([...whole.source.tensors.keys()].toSorted())
      for (const [name, { shape }] of made.source.tensors) {
        const expected = await roundedTo(type, hugging.source, name, layers)
        const got = await made.source.read(name)
        expect(shape).toEqual(hugging.source.tensors.get(name)?.shape)
        // A block of zeros of Q4_0 is of -0 where it was written, and of 0 where it was not.
        const same = type === 'Q4_0' ? sameNumbers : sameBits
        same(name, got, expected)
        await sameInParts(made.source, name, got)
      }
      expect(made.vocabulary).toEqual(whole.vocabulary)
    } finally {
      await made.source.close()
      await whole.source.close()
    }
  },
  { runs: 12 },
)
stateLaw(isSmaller, shrink)

/** Rows, streams and blocks of a tensor are its numbers. */
async function sameInParts(source: RawTensorSource, name: string, whole: Float32Array): Promise<void> {
  const { rows, columns } = rowsOf(source.tensors.get(name)?.shape ?? [])
  const first = rows >> 1
  sameBits(
    'rows',
    await source.readRows(name, first, 1),
    whole.subarray(first * columns, (first + 1) * columns),
  )
  const blocks = source.streamBlocks?.(name, 'Q4_1', 1000)
  if (!blocks) return
  for await (const { first: at, bytes } of blocks) {
    const count = bytes.length / ((columns / 32) * 20)
    const numbers = dequantizeBlocks(new Uint32Array(bytes.slice().buffer), count, columns)
    sameNumbers('blocks', numbers, whole.subarray(at * columns, (at + count) * columns))
  }
}

const converting =
  (change: (from: Checkpoint, mask: UnitMask, form: OutputForm) => Checkpoint): Shrink =>
  (to, mask, type) =>
    convertCheckpoint(large, to, {
      type,
      force: true,
      change: (from, form) => change(from, mask, form),
    })

killsEach('a smaller file %s is killed', isSmaller, {
  'of one number for all layers': converting((from, mask, form) =>
    smallerModel(from, config, mask, null, { ...form, layersDiffer: false }),
  ),
  'of other neurons': converting((from, { shape, heads: own, neurons: skipped }, form) =>
    smallerModel(from, config, makeMask(shape, own, skipped.toReversed()), null, form),
  ),
  'with all units': converting((from) => from),
})

test('what a GGUF file cannot be made of is refused in a line, and leaves nothing', async () => {
  const golden = fileURLToPath(new URL('../../fixtures/golden/preln', import.meta.url))
  await expect(convertCheckpoint(golden, join(folder, 'no.gguf'))).rejects.toMatchObject({
    code: 'OUTPUT',
    message: expect.stringMatching(/no\.gguf: expected a GGUF file as the source, got [\w.]+$/) as unknown,
  })
  await expect(convertCheckpoint(large, large, { force: true })).rejects.toMatchObject({ code: 'OUTPUT' })
  const change = (from: Checkpoint): Checkpoint => ({
    ...from,
    configJson: { ...from.configJson, rope_theta: 5 },
  })
  await expect(convertCheckpoint(large, join(folder, 'no.gguf'), { change })).rejects.toThrow(
    'no.gguf: expected a model whose rope_theta',
  )
  expect(readdirSync(folder)).not.toContain('no.gguf')
})

// ---- Layers that differ, from others ---------------------------------------------------------------------------------

describe('a file of layers that differ', () => {
  /** Two layers of one and two heads and of 3 and 5 neurons, each head of 2 numbers. */
  const units = { heads: [1, 2], neurons: [3, 5] }
  const numbers = (rows: number, columns: number) => ({
    shape: [rows, columns],
    data: Float32Array.from({ length: rows * columns }, (_, i) => i + 1),
  })
  const norm = { shape: [4], data: new Float32Array(4).fill(1) }
  const tensors = [
    { name: 'token_embd.weight', ...numbers(6, 4) },
    { name: 'output_norm.weight', ...norm },
    ...units.heads.flatMap((H, l) =>
      Object.entries({
        attn_norm: norm,
        attn_q: numbers(2 * H, 4),
        attn_k: numbers(2, 4),
        attn_v: numbers(2, 4),
        attn_output: numbers(4, 2 * H),
        ffn_norm: norm,
        ffn_gate: numbers(units.neurons[l], 4),
        ffn_up: numbers(units.neurons[l], 4),
        ffn_down: numbers(4, units.neurons[l]),
      }).map(([name, tensor]) => ({ name: `blk.${l}.${name}.weight`, ...tensor })),
    ),
  ]
  const entries: Readonly<Record<string, EntryValue>> = {
    'general.architecture': 'deci',
    'deci.block_count': 2,
    'deci.context_length': 8,
    'deci.embedding_length': 4,
    'deci.attention.head_count': Int32Array.from(units.heads),
    'deci.attention.head_count_kv': 1,
    'deci.attention.key_length': 2,
    'deci.feed_forward_length': Int32Array.from(units.neurons),
    'deci.attention.layer_norm_rms_epsilon': { float: 1e-5 },
  }
  const read = (changed: Readonly<Record<string, EntryValue>> = {}) =>
    readGguf(bytesAsFile(encodeGguf(Object.entries({ ...entries, ...changed }), tensors)), 'm.gguf')

  test('is a llama of as many units as the layer has that has most, with zeros for the others', async () => {
    const { configJson, source } = await read()
    expect(parseConfig(configJson)).toMatchObject({
      family: 'llama',
      heads: 2,
      keyHeads: 1,
      headSize: 2,
      neurons: 5,
    })
    const of = async (name: string): Promise<number[]> => [
      ...(await source.read(`model.layers.0.${name}.weight`)),
    ]
    expect(await of('mlp.down_proj')).toEqual([1, 2, 3, 0, 0, 4, 5, 6, 0, 0, 7, 8, 9, 0, 0, 10, 11, 12, 0, 0])
    expect(await of('self_attn.o_proj')).toEqual([1, 2, 0, 0, 3, 4, 0, 0, 5, 6, 0, 0, 7, 8, 0, 0])
    expect(await of('self_attn.q_proj')).toEqual([1, 2, 3, 4, 5, 6, 7, 8, ...Array<number>(8).fill(0)])
    expect((await of('mlp.up_proj')).slice(12)).toEqual(Array<number>(8).fill(0))
  })

  test.each<[string, Readonly<Record<string, EntryValue>>, string]>([
    ['numbers of other layers', { 'deci.feed_forward_length': Int32Array.of(3) }, 'a list of 2 numbers'],
    ['a layer without neurons', { 'deci.feed_forward_length': Int32Array.of(0, 5) }, 'whole numbers from 1'],
    ['a layer without keys', { 'deci.attention.head_count_kv': Int32Array.of(0, 1) }, 'whole numbers from 1'],
    [
      'neurons that its matrices have not',
      { 'deci.feed_forward_length': Int32Array.of(3, 6) },
      'layer 1: expected',
    ],
    [
      'heads that its matrices have not',
      { 'deci.attention.head_count': Int32Array.of(2, 2) },
      'layer 0: expected',
    ],
    [
      'groups of different sizes',
      { 'deci.attention.head_count_kv': Int32Array.of(1, 3) },
      'layer 1: expected',
    ],
    [
      'more layers than tensors',
      { 'deci.block_count': 4_000_000_000, 'deci.feed_forward_length': 3 },
      'at most',
    ],
  ])('%s are refused', async (_, changed, words) => {
    await expect(read(changed)).rejects.toThrow(words)
  })
})
