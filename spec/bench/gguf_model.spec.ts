/**
 * The GGUF files of the bench of peers: a model comes back from its file.
 */
import fc from 'fast-check'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ggufModel, plainTokenizer } from '../../bench/peers/gguf_model.ts'
import { makeConfig, parseConfig, type ModelConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { bytesAsFile } from '../../src/io/files.ts'
import { readGgufHeader } from '../../src/io/gguf.ts'
import { formats } from '../../src/io/gguf_formats.ts'
import { openGguf } from '../../src/io/gguf_model.ts'
import { encode } from '../../src/io/gguf_writer.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { bytesOf, numbersIn } from '../io/gguf_numbers.ts'

const folder = temporaryFolder()

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
        sameBits(name, await source.read(name), numbersIn(stored, encode(stored, values)))
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
