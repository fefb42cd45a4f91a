/**
 * From a checkpoint's tensors to a model: any of the accepted names, every shape compared before a value is read, no
 * number that is not finite, and nothing left allocated when it fails.
 *
 * Tests src/engine/initial_weights.ts and src/engine/names.ts.
 */
import { describe, expect, test } from 'vitest'
import { denseMask } from '../../src/masks/mask.ts'
import { makeConfig, type ModelConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { canonicalName, matchTensors } from '../../src/engine/names.ts'
import { parameterShapes } from '../../src/engine/program.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { memorySource, type HostTensor } from '../../src/tensor/memory_source.ts'
import type { TensorSource } from '../../src/tensor/tensor_source.ts'
import { overBackends } from '../harness/backends.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { feedOnce } from './cases.ts'

const sizes = { layers: 2, width: 6, heads: 3, neurons: 5, vocabulary: 7, positions: 4 }
const plain = makeConfig(sizes)
const projected = makeConfig({ ...sizes, embeddingWidth: 4, tied: false })
const tokens = Int32Array.of(2, 5, 1)

type Tensors = Map<string, HostTensor>

function weightsOf(config: ModelConfig): Tensors {
  return initialWeights(config, { seed: 7, deviation: 0.4, biasDeviation: 0.3 })
}

function renamed(tensors: Tensors, rename: (name: string) => string): Tensors {
  return new Map([...tensors].map(([name, tensor]) => [rename(name), tensor]))
}

const names = {
  head: 'lm_head.weight',
  tokenTable: 'model.decoder.embed_tokens.weight',
  positionTable: 'model.decoder.embed_positions.weight',
}

/** The names of metaseq. */
function metaseq(name: string): string {
  return name
    .replace('model.decoder.', 'decoder.')
    .replace(/^decoder\.final_layer_norm/, 'decoder.layer_norm')
    .replace('project_in', 'project_in_dim')
    .replace('project_out', 'project_out_dim')
    .replace('lm_head', 'decoder.output_projection')
}

/** A source that fails the test if a value is read. */
function unread(tensors: Tensors): TensorSource {
  const read = (name: string): Promise<never> => Promise.reject(new Error(`${name} was read`))
  const stream: TensorSource['stream'] = (name) => {
    throw new Error(`${name} was read`)
  }
  return { ...memorySource(tensors), read, readRows: read, stream }
}

describe('names', () => {
  test.each([
    ['model.decoder.layers.0.fc1.weight', 'model.decoder.layers.0.fc1.weight'],
    ['decoder.layers.0.fc1.weight', 'model.decoder.layers.0.fc1.weight'],
    ['layers.0.final_layer_norm.bias', 'model.decoder.layers.0.final_layer_norm.bias'],
    ['decoder.layer_norm.weight', 'model.decoder.final_layer_norm.weight'],
    ['decoder.project_in_dim.weight', 'model.decoder.project_in.weight'],
    ['project_out_dim.weight', 'model.decoder.project_out.weight'],
    ['decoder.output_projection.weight', 'lm_head.weight'],
    ['lm_head.weight', 'lm_head.weight'],
    ['decoder.version', 'model.decoder.version'],
  ])('%s', (name, canonical) => expect(canonicalName(plain, name)).toBe(canonical))

  test('a tied model does not use the head a checkpoint repeats, nor what it does not know', () => {
    const tensors = weightsOf(plain)
    const extra = { shape: [1], values: new Float32Array(1) }
    tensors.set('lm_head.weight', extra).set('decoder.version', extra)
    const { stored, unused } = matchTensors(plain, memorySource(tensors).tensors)
    expect([...stored.keys()]).toEqual([...parameterShapes(plain).keys()])
    expect(unused).toEqual(['lm_head.weight', 'decoder.version'])
  })
})

overBackends((backend) => {
  const logitsOf = async (config: ModelConfig, tensors: Tensors): Promise<Float32Array> => {
    const model = await LanguageModel.load(config, memorySource(tensors), backend)
    const logits = feedOnce(model, tokens)
    model.dispose()
    return logits
  }

  const refusal = async (
    config: ModelConfig,
    source: TensorSource,
    options: { signal?: AbortSignal } = {},
  ): Promise<InputError> => {
    const error: unknown = await LanguageModel.load(config, source, backend, options).catch(
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(InputError)
    expect(backend.liveBuffers).toBe(0)
    return error as InputError
  }

  for (const [what, config] of [
    ['tied', plain],
    ['projected, with a head of its own', projected],
  ] as const)
    test(`every accepted naming is the same model: ${what}`, async () => {
      const tensors = weightsOf(config)
      const expected = await logitsOf(config, tensors)
      const bare = (name: string): string => name.replace('model.decoder.', '')
      for (const rename of [metaseq, bare, (name: string) => name.replace('model.decoder.', 'decoder.')])
        sameBits('logits', await logitsOf(config, renamed(tensors, rename)), expected)
    })

  test('a head of its own is used, and is not the token table', async () => {
    const tensors = weightsOf(projected)
    const expected = await logitsOf(projected, tensors)
    ;(tensors.get(names.head) as HostTensor).values.fill(0)
    expect([...(await logitsOf(projected, tensors))].every((value) => value === 0)).toBe(true)
    expect([...expected].some((value) => value !== 0)).toBe(true)
  })

  test('matrices whose rows stand in one tensor are the same model, in parts of any size', async () => {
    const config = makeConfig({ ...sizes, family: 'llama', heads: 4, keyHeads: 2, headSize: 6 })
    const tensors = weightsOf(config)
    const expected = await logitsOf(config, tensors)
    const fused = new Map(tensors)
    const fuse = (layer: number, whole: string, parts: readonly string[]): void => {
      const at = `model.layers.${layer}.`
      const all = parts.map((part) => fused.get(`${at}${part}.weight`) as HostTensor)
      for (const part of parts) fused.delete(`${at}${part}.weight`)
      const values = Float32Array.from(all.flatMap((one) => [...one.values]))
      const [, columns] = all[0].shape
      fused.set(`${at}${whole}.weight`, { shape: [values.length / columns, columns], values })
    }
    for (let layer = 0; layer < config.layers; layer++) {
      const products = ['q', 'k', 'v'].map((name) => `self_attn.${name}_proj`)
      fuse(layer, 'self_attn.qkv_proj', products)
      fuse(layer, 'mlp.gate_up_proj', ['mlp.gate_proj', 'mlp.up_proj'])
    }
    sameBits('logits', await logitsOf(config, fused), expected)
    // A part at a time has one row.
    const source = memorySource(fused)
    const byRow = { ...source, stream: (name: string) => source.stream(name, 1) }
    const model = await LanguageModel.load(config, byRow, backend)
    sameBits('logits', feedOnce(model, tokens), expected)
    model.dispose()
    const name = 'model.layers.0.self_attn.qkv_proj.weight'
    const { shape, values } = fused.get(name) as HostTensor
    fused.set(name, { shape: [shape[0] - 1, shape[1]], values: values.slice(shape[1]) })
    const { code, message } = await refusal(config, unread(fused))
    expect([code, message]).toEqual([
      'TENSOR_SHAPE',
      `${name}: expected [${shape.join(', ')}], got [${shape[0] - 1}, ${shape[1]}]`,
    ])
    fused.set('model.layers.0.self_attn.v_proj.weight', {
      shape: [12, config.width],
      values: new Float32Array(12 * config.width),
    })
    expect((await refusal(config, unread(fused))).code).toBe('TENSOR_DUPLICATE')
  })

  test('a wrong shape is refused before anything is read', async () => {
    for (const [name, shape] of parameterShapes(projected)) {
      const tensors = weightsOf(projected)
      const wrong = [...shape.slice(0, -1), shape[shape.length - 1] + 1]
      const length = wrong.reduce((product, size) => product * size, 1)
      tensors.set(name, { shape: wrong, values: new Float32Array(length) })
      const { code, message, tensor } = await refusal(projected, unread(tensors))
      expect([code, tensor]).toEqual(['TENSOR_SHAPE', name])
      expect(message).toBe(`${name}: expected [${shape.join(', ')}], got [${wrong.join(', ')}]`)
    }
  })

  test('a missing tensor is refused before anything is read', async () => {
    for (const name of parameterShapes(projected).keys()) {
      const tensors = weightsOf(projected)
      tensors.delete(name)
      const { code, tensor } = await refusal(projected, unread(tensors))
      expect([code, tensor]).toEqual(['TENSOR_MISSING', name])
    }
  })

  test('a block too many, or one parameter under two names, is refused', async () => {
    const shallow = { ...plain, layers: 1 }
    const extra = await refusal(shallow, unread(weightsOf(plain)))
    expect(extra.code).toBe('TENSOR_EXTRA')
    expect(extra.message).toContain('expected blocks 0 to 0, got block 1')
    const twice = weightsOf(plain)
    twice.set('decoder.layers.0.fc1.bias', { shape: [5], values: new Float32Array(5) })
    expect((await refusal(plain, unread(twice))).code).toBe('TENSOR_DUPLICATE')
  })

  test('NaN and infinity are refused by the name of their tensor, unless asked for', async () => {
    for (const [value, name] of [
      [NaN, 'model.decoder.layers.1.fc2.weight'],
      [-Infinity, names.tokenTable],
    ] as const) {
      const tensors = weightsOf(plain)
      ;(tensors.get(name) as HostTensor).values[3] = value
      const { code, message } = await refusal(plain, memorySource(tensors))
      expect(code).toBe('WEIGHT_NOT_FINITE')
      expect(message).toBe(`${name}[3]: expected a finite number, got ${value}`)
      const model = await LanguageModel.load(plain, memorySource(tensors), backend, { allowNonFinite: true })
      model.dispose()
    }
  })

  test('a weight that its storage would make infinite is refused, with its tensor, its place and the storage', async () => {
    const name = 'model.decoder.layers.1.fc2.weight'
    const tensors = weightsOf(plain)
    ;(tensors.get(name) as HostTensor).values[3] = -70_000
    for (const storage of ['int4', 'f16'] as const) {
      const loading = LanguageModel.load(plain, memorySource(tensors), backend, { storage })
      const message = `${name}[3]: expected a number below 65520 in size to be stored as ${storage}, got -70000`
      await expect(loading).rejects.toMatchObject({ code: 'WEIGHT_RANGE', message, tensor: name })
    }
    for (const storage of ['f32', 'bf16', 'int8'] as const)
      (await LanguageModel.load(plain, memorySource(tensors), backend, { storage })).dispose()
    expect(backend.liveBuffers).toBe(0)
  })

  test('a read that fails, or an abort, leaves nothing behind', async () => {
    const source = memorySource(weightsOf(plain))
    let reads = 0
    const failing: TensorSource = {
      ...source,
      stream(...which) {
        if (++reads === 9) throw new InputError('FILE_CHANGED', 'planted')
        return source.stream(...which)
      },
    }
    expect((await refusal(plain, failing)).code).toBe('FILE_CHANGED')
    const abort = new AbortController()
    let calls = 0
    const loading = LanguageModel.load(plain, source, backend, {
      signal: abort.signal,
      onProgress: () => ++calls === 3 && abort.abort(),
    })
    await expect(loading).rejects.toThrow(/abort/i)
    expect(calls).toBe(3)
    expect(backend.liveBuffers).toBe(0)
  })

  test.each([
    ['f32', 4],
    ['f16', 2],
    ['bf16', 2],
  ] as const)(
    'weights stored as %s take %i bytes a number in matrices, four in vectors and positions',
    async (storage, bytesPerNumber) => {
      const model = await LanguageModel.load(projected, memorySource(weightsOf(projected)), backend, {
        storage,
      })
      const expected = [...weightsOf(projected)].map(([name, { shape, values }]) => {
        const isVector = shape.length === 1 || name === names.positionTable
        return values.length * (isVector ? 4 : bytesPerNumber)
      })
      expect(model.weights.bytes).toBe(expected.reduce((sum, bytes) => sum + bytes, 0))
      model.dispose()
    },
  )

  test('progress counts the bytes of every parameter once, and of nothing else', async () => {
    const tensors = weightsOf(plain)
    const expected = [...tensors].map(([name, { values }]) => ({ name, bytes: values.byteLength }))
    const totalBytes = expected.reduce((sum, { bytes }) => sum + bytes, 0)
    tensors.set('decoder.version', { shape: [1], values: new Float32Array(1) })
    const seen: { name: string; bytes: number }[] = []
    let before = 0
    const model = await LanguageModel.load(plain, memorySource(tensors), backend, {
      onProgress: (progress) => {
        expect(progress.totalBytes).toBe(totalBytes)
        seen.push({ name: progress.name, bytes: progress.loadedBytes - before })
        before = progress.loadedBytes
      },
    })
    expect(seen).toEqual(expected)
    expect(denseMask(model.shape).heads.length).toBe(6)
    model.dispose()
    model.dispose()
  })
})
