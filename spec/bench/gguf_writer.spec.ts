/**
 * The GGUF files of the bench of peers: numbers are rounded by ggml's rules, and a model comes back from its file.
 */
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { ggufModel, plainTokenizer, tokenizerOf } from '../../bench/peers/gguf_model.ts'
import { encode, formats, ggufFile, type Format, type WrittenValue } from '../../bench/peers/gguf_writer.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { makeConfig, parseConfig, type ModelConfig } from '../../src/engine/config.ts'
import { bytesAsFile } from '../../src/io/files.ts'
import { readGgufHeader } from '../../src/io/gguf.ts'
import { ggufTypes } from '../../src/io/gguf_blocks.ts'
import { openGguf } from '../../src/io/gguf_model.ts'
import { narrowToF16, widenF16 } from '../../src/tensor/halves.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { kills, killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

type Encode = typeof encode
type Symmetric = 'Q8_0' | 'Q4_0'

const folder = temporaryFolder()

/** The numbers that the reader of this project finds in bytes. */
function decode(format: Format, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  if (format === 'F32') return new Float32Array(bytes.buffer)
  if (format === 'F16') return widenF16(new Uint16Array(bytes.buffer))
  const type = [...ggufTypes.values()].find(({ name }) => name === format)
  const out = new Float32Array((bytes.length / (type?.bytes ?? 1)) * 32)
  type?.decode?.(bytes, out)
  return out
}

const half = (value: number): number => widenF16(narrowToF16(Float32Array.of(value)))[0]

/** d of a block, from its numbers. */
const scaleOf: Readonly<Record<Symmetric, (block: Float32Array) => number>> = {
  Q8_0: (block) => Math.max(...block.map(Math.abs)) / 127,
  Q4_0: (block) => block.reduce((most, x) => (Math.abs(x) > Math.abs(most) ? x : most), 0) / -8,
}

/** Integers of a block at the ends of their range. */
const range = { Q8_0: [-127, 127], Q4_0: [-8, 7], Q4_1: [0, 15] } as const

const symmetric = fc.constantFrom<Symmetric>('Q8_0', 'Q4_0')
const block = fc.float32Array({ minLength: 32, maxLength: 32, min: -8, max: 8, noNaN: true })

const nearEnough = lawForAll(
  'a block gives every number within half a step, but for the end of the range that is out of reach',
  { format: symmetric, x: block },
  (judged: Encode, { format, x }) => {
    const step = scaleOf[format](x)
    const stored = half(Math.fround(step))
    const [least, most] = range[format]
    const got = decode(format, judged(format, x))
    for (const [i, value] of x.entries()) {
      const q = got[i] === 0 ? 0 : got[i] / stored
      expect(q).toBe(Math.round(q))
      // A step too small for half precision is 0, and so is every number.
      if (stored === 0) expect(Math.abs(got[i])).toBe(0)
      else if (q < most) expect(Math.abs(q - value / step)).toBeLessThanOrEqual(0.5 + 1e-4)
      else expect(value / step).toBeGreaterThanOrEqual(most - 0.5 - 1e-4)
      expect(q).toBeGreaterThanOrEqual(least)
    }
  },
)
stateLaw(nearEnough, encode)

const withMinimum = lawForAll(
  'a block with a minimum gives every number within half a step, and what half precision rounds of step and minimum',
  { x: block },
  (judged: Encode, { x }) => {
    const [least, most] = [Math.min(...x), Math.max(...x)]
    const step = (most - least) / 15
    const rounded = 2 ** -11 * (Math.abs(least) + 15 * step) + 2 ** -20
    const got = decode('Q4_1', judged('Q4_1', x))
    for (const [i, value] of x.entries())
      expect(Math.abs(got[i] - value)).toBeLessThanOrEqual(step / 2 + rounded)
  },
)
stateLaw(withMinimum, encode)

const comesBack = lawForAll(
  'the numbers of a block are written as this block again, if its integers reach both ends of the range',
  {
    format: fc.constantFrom('Q8_0', 'Q4_0', 'Q4_1'),
    scale: fc.integer({ min: 1, max: 1000 }),
    minimum: fc.integer({ min: -1000, max: 1000 }),
    drawn: fc.array(fc.nat(), { minLength: 30, maxLength: 30 }),
  },
  (judged: Encode, { format, scale, minimum, drawn }) => {
    const [least, most] = range[format]
    const d = scale / 1024
    const m = format === 'Q4_1' ? minimum / 1024 : 0
    const q = [...drawn.map((value) => least + (value % (most - least + 1))), least, most]
    const x = Float32Array.from(q, (value) => value * d + m)
    sameBits(format, decode(format, judged(format, x)), x)
  },
)
stateLaw(comesBack, encode)

test('halves are rounded away from zero in 8 bits, and up in 4', () => {
  const x = new Float32Array(32)
  x.set([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
  expect([...decode('Q8_0', encode('Q8_0', x)).subarray(0, 7)]).toEqual([127, 1, 2, 3, -1, -2, -3])
  x.set([-8, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
  expect([...decode('Q4_0', encode('Q4_0', x)).subarray(0, 7)]).toEqual([-8, 1, 2, 3, 0, -1, -2])
  x.set([-7, 8, 0.5, 1.5, -0.5, -1.5, -2.5])
  expect([...decode('Q4_1', encode('Q4_1', x)).subarray(0, 7)]).toEqual([-7, 8, 1, 2, 0, -1, -2])
})

describe("ggml's own blocks are written again to the byte", () => {
  const golden = fileURLToPath(new URL('../../fixtures/golden-llama/gguf/blocks', import.meta.url))

  const scaleIn = (format: keyof typeof range, numbers: Float32Array): number =>
    format === 'Q4_1'
      ? Math.fround(Math.fround(Math.max(...numbers) - Math.min(...numbers)) / 15)
      : scaleOf[format](numbers)

  test.each(['Q8_0', 'Q4_0', 'Q4_1'] as const)('%s', (format) => {
    const bytes = { Q8_0: 34, Q4_0: 18, Q4_1: 20 }[format]
    const blocks = new Uint8Array(readFileSync(join(golden, `${format}.bin`)))
    let judged = 0
    for (let at = 0; at < blocks.length; at += bytes) {
      const one = blocks.slice(at, at + bytes)
      const numbers = decode(format, one)
      const d = scaleIn(format, numbers)
      // Others have a scale that does not follow from the numbers.
      if (d !== widenF16(new Uint16Array(one.buffer, 0, 1))[0] || d === 0) continue
      expect(encode(format, numbers)).toEqual(one)
      judged++
    }
    expect(judged).toBeGreaterThan(0)
  })
})

/** Changes the numbers before they are written, or the bytes after. */
const withNumbers =
  (change: (x: number) => number): Encode =>
  (format, x) =>
    encode(format, x.map(change))
const withBytes =
  (change: (bytes: Uint8Array<ArrayBuffer>, format: Format) => void): Encode =>
  (format, x) => {
    const bytes = encode(format, x)
    change(bytes, format)
    return bytes
  }

test.each(
  Object.entries<Encode>({
    'numbers without their sign': withNumbers(Math.abs),
    'numbers one step off': withBytes((bytes) => (bytes[5] += 1)),
    'a scale one step off': withBytes((bytes) => (bytes[0] ^= 1)),
    'the halves of a block changed': (format, x) =>
      encode(format, Float32Array.from([...x.slice(16), ...x.slice(0, 16)])),
    'high and low bits changed': withBytes((bytes, format) => {
      const first = { F32: 0, F16: 0, Q8_0: bytes.length, Q4_0: 2, Q4_1: 4 }[format]
      for (let i = first; i < bytes.length; i++) bytes[i] = (bytes[i] >> 4) | ((bytes[i] & 15) << 4)
    }),
  }),
)('a rounding with %s is killed', async (_, mutant) => {
  await kills(comesBack, mutant)
  await kills(nearEnough, mutant)
})

test('a rounding without the minimum is killed', async () => {
  const mutant = withBytes((bytes, format) => {
    if (format === 'Q4_1') bytes.fill(0, 2, 4)
  })
  await kills(comesBack, mutant)
  await kills(withMinimum, mutant)
})

// ---- Models ------------------------------------------------------------------------------------------------------

const llama = makeConfig({
  family: 'llama',
  layers: 2,
  width: 64,
  heads: 4,
  keyHeads: 2,
  neurons: 96,
  vocabulary: 300,
  positions: 50,
  epsilon: 1e-5,
  rotary: { base: 100_000, scaling: null },
})
const opt = makeConfig({ layers: 2, width: 64, heads: 4, neurons: 128, vocabulary: 300, positions: 50 })

async function bytesOf(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const all: number[] = []
  for await (const part of parts) for (const byte of part) all.push(byte)
  return Uint8Array.from(all)
}

const weightsOf = (config: ModelConfig) => initialWeights(config, { seed: 3, biasDeviation: 0.1 })

type Write = typeof ggufModel

const qwen3 = makeConfig({ ...llama, family: 'qwen3', headSize: 32 })
const [all, local] = [1e6, 1e4].map((base) => ({ base, scaling: null }))
/** Seven layers, of which the sixth alone sees all of the text. */
const gemma3 = makeConfig({
  ...llama,
  family: 'gemma3',
  activation: 'gelu_tanh',
  layers: 7,
  headSize: 32,
  rotary: all,
  layerRotary: Array.from({ length: 7 }, (_, l) => (l === 5 ? all : local)),
  layerWindow: Array.from({ length: 7 }, (_, l) => (l === 5 ? null : 16)),
  embeddingScale: 8,
  normOffset: 0,
  padId: 0,
})

const isTheModel = lawForAll(
  'a model comes back from its file: sizes, names, the order of rows, and numbers as their format rounds them',
  { model: fc.constantFrom(llama, qwen3, gemma3), format: fc.constantFrom(...formats), tied: fc.boolean() },
  async (write: Write, { model, format, tied }) => {
    const config = { ...model, tied }
    const weights = weightsOf(config)
    const path = join(folder, `${format}.gguf`)
    await writeFile(path, await bytesOf(write(config, memorySource(weights), format, plainTokenizer(300))))
    const { configJson, source, vocabulary } = await openGguf(path)
    try {
      // The scale of scores is said of Gemma alone, and is the usual one.
      const { scoreScale, ...found } = parseConfig(configJson)
      expect(found).toEqual(config)
      expect(scoreScale ?? config.headSize ** -0.5).toBe(config.headSize ** -0.5)
      expect(vocabulary?.ids.size).toBe(300)
      expect([...source.tensors.keys()].toSorted()).toEqual([...weights.keys()].toSorted())
      for (const [name, { shape, values }] of weights) {
        const isEnd = name === 'model.embed_tokens.weight' || name === 'lm_head.weight'
        const stored = shape.length === 1 ? 'F32' : format.startsWith('Q4') && isEnd ? 'Q8_0' : format
        expect(source.tensors.get(name)?.shape).toEqual(shape)
        sameBits(name, await source.read(name), decode(stored, encode(stored, values)))
      }
    } finally {
      await source.close()
    }
  },
  { runs: 8 },
)
stateLaw(isTheModel, ggufModel)

killsEach('a file with %s is killed', isTheModel, {
  'heads of another size': (config, ...rest) => ggufModel({ ...config, headSize: 32, heads: 2 }, ...rest),
  'a layer less': (config, ...rest) => ggufModel({ ...config, layers: 1 }, ...rest),
  'a head of its own where there is none': (config, ...rest) =>
    ggufModel({ ...config, tied: !config.tied }, ...rest),
  'queries in the order of Hugging Face': (config, source, ...rest) => {
    const read = async (name: string): Promise<Float32Array> => {
      const values = await source.read(name)
      if (!name.endsWith('q_proj.weight')) return values
      // What the writer does to a head's rows is undone before.
      const out = new Float32Array(values.length)
      for (let row = 0; row < 64; row++) {
        const to = row - (row % 16) + 8 * (row % 2) + Math.floor((row % 16) / 2)
        out.set(values.subarray(64 * row, 64 * (row + 1)), 64 * to)
      }
      return out
    }
    return ggufModel(config, { ...source, read }, ...rest)
  },
})

test("a file of OPT's matrices has those of gpt2, queries, keys and values in one, and positions from 0 on", async () => {
  const weights = weightsOf(opt)
  const bytes = await bytesOf(ggufModel(opt, memorySource(weights), 'Q8_0', plainTokenizer(300)))
  const { entries, tensors } = await readGgufHeader(bytesAsFile(bytes), 'gpt2')
  expect(Object.fromEntries([...entries].filter(([key]) => key.startsWith('gpt2.')))).toEqual({
    'gpt2.block_count': 2,
    'gpt2.context_length': 50,
    'gpt2.embedding_length': 64,
    'gpt2.feed_forward_length': 128,
    'gpt2.attention.head_count': 4,
    'gpt2.attention.layer_norm_epsilon': Math.fround(1e-5),
  })
  const described = [...tensors.values()].map(
    ({ name, type, shape }) => `${name} ${type.name} ${shape.join('x')}`,
  )
  expect(described.filter((text) => !text.startsWith('blk.1'))).toEqual([
    'token_embd.weight Q8_0 300x64',
    'position_embd.weight F32 50x64',
    'output_norm.weight F32 64',
    'output_norm.bias F32 64',
    'blk.0.attn_norm.weight F32 64',
    'blk.0.attn_norm.bias F32 64',
    'blk.0.attn_output.weight Q8_0 64x64',
    'blk.0.attn_output.bias F32 64',
    'blk.0.ffn_norm.weight F32 64',
    'blk.0.ffn_norm.bias F32 64',
    'blk.0.ffn_up.weight Q8_0 128x64',
    'blk.0.ffn_up.bias F32 128',
    'blk.0.ffn_down.weight Q8_0 64x128',
    'blk.0.ffn_down.bias F32 64',
    'blk.0.attn_qkv.weight Q8_0 192x64',
    'blk.0.attn_qkv.bias F32 192',
  ])
  const floats = (name: string): Float32Array => {
    const { start = 0, byteLength = 0 } = tensors.get(name) ?? {}
    return new Float32Array(bytes.slice(start, start + byteLength).buffer)
  }
  const values = (name: string): number[] => [...(weights.get(`model.decoder.${name}`)?.values ?? [])]
  expect([...floats('position_embd.weight')]).toEqual(values('embed_positions.weight').slice(2 * 64))
  expect([...floats('blk.0.attn_qkv.bias')]).toEqual(
    ['q_proj', 'k_proj', 'v_proj'].flatMap((name) => values(`layers.0.self_attn.${name}.bias`)),
  )
})

test('a model that llama.cpp has no matrices for is refused by name', () => {
  const write = (config: ModelConfig) => () => ggufModel(config, memorySource(new Map()), 'F16', new Map())
  expect(write({ ...opt, preNorm: false })).toThrow('model: expected one whose matrices llama.cpp has')
  expect(write({ ...llama, biases: 'query-key-value' })).toThrow('model: expected one')
  expect(write({ ...gemma3, normOffset: 1 })).toThrow('model: expected one')
  expect(write({ ...gemma3, layerWindow: undefined })).toThrow('model: expected one')
  expect(write({ ...gemma3, layerWindow: gemma3.layerWindow?.map(() => 16) })).toThrow('model: expected one')
  expect(write({ ...gemma3, layerRotary: undefined })).toThrow('model: expected one')
  expect(write({ ...qwen3, scoreCap: 30 })).toThrow('model: expected one')
  const scaling = { kind: 'linear', factor: 2 } as const
  expect(write({ ...llama, rotary: { base: 1e4, scaling } })).toThrow('rotations that are not scaled')
})

test('entries of every type come back, and a tokenizer is copied as it is', async () => {
  const entries = new Map<string, WrittenValue>([
    ['general.name', 'Größe'],
    ['tokenizer.flag', true],
    ['tokenizer.whole', { u32: 4_000_000_000 }],
    ['other', { f32: 0.1 }],
    ['tokenizer.texts', ['a', '', '▁b']],
    ['tokenizer.types', Int32Array.of(-1, 7)],
    ['tokenizer.scores', Float32Array.of(0.5, -2)],
  ])
  const header = await readGgufHeader(bytesAsFile(await bytesOf(ggufFile(entries, []))), 'file')
  expect([...header.entries]).toEqual(
    [...entries].map(([key, value]) => {
      if (key === 'tokenizer.whole') return [key, 4_000_000_000]
      return [key, key === 'other' ? Math.fround(0.1) : value]
    }),
  )
  const copied = new Map([...entries].filter(([key]) => key.startsWith('tokenizer.')))
  expect(tokenizerOf(header.entries)).toEqual(copied)
})
