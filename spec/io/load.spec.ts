/**
 * Whole models: every form of the same checkpoint gives the same tensors, and what is missing is said.
 */
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, test } from 'vitest'
import { openModelFolder, openWeights } from '../../src/io/load.ts'
import { writeSafetensors } from '../../src/io/safetensors_writer.ts'
import { narrowToBf16, narrowToF16, widenBf16, widenF16 } from '../../src/tensor/halves.ts'
import { refusalOf } from './hostile.ts'
import { P, pickle, torchFile } from '../../fixtures/hostile/build_torch.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const fixtures = fileURLToPath(new URL('../../fixtures', import.meta.url))
const golden = join(fixtures, 'golden')

type Values = Map<string, { shape: readonly number[]; values: Float32Array }>

/** Every tensor as float32, names without their prefix, without the tied copy of the embedding. */
async function allValues(path: string): Promise<Values> {
  const source = await openWeights(path)
  const values: Values = new Map()
  for (const { name, shape, sameAs } of source.tensors.values()) {
    if (sameAs === undefined)
      values.set(name.replace(/^model\./, ''), { shape, values: await source.read(name) })
  }
  await source.close()
  return values
}

const exactly = (values: Float32Array): Float32Array => values
const throughF16 = (values: Float32Array): Float32Array => widenF16(narrowToF16(values))
const throughBf16 = (values: Float32Array): Float32Array => widenBf16(narrowToBf16(values))

describe('every form of a checkpoint has the same tensors', () => {
  test.each([
    ['preln', 'model.safetensors.index.json', exactly],
    ['preln', 'model.noprefix.safetensors', exactly],
    ['preln', 'pytorch_model.bin', exactly],
    ['preln', 'model.fp16.safetensors', throughF16],
    ['preln', 'pytorch_model.legacy.bin', exactly],
    ['preln', 'pytorch_model.fp16.bin', throughF16],
    ['preln', 'model.bf16.safetensors', throughBf16],
    ['postln_proj', 'model.safetensors.index.json', exactly],
    ['postln_proj', 'pytorch_model.bin', exactly],
    ['postln_proj', 'model.fp16.safetensors', throughF16],
  ])('%s/%s', async (variant, file, rounded) => {
    const expected = await allValues(join(golden, variant, 'model.safetensors'))
    const actual = await allValues(join(golden, variant, file))
    expect([...actual.keys()].toSorted()).toEqual([...expected.keys()].toSorted())
    expect(expected.size).toBeGreaterThan(30)
    for (const [name, { shape, values }] of expected) {
      expect(actual.get(name)?.shape).toEqual(shape)
      expect(actual.get(name)?.values).toEqual(rounded(values))
    }
  })

  test('the tied head of a .bin is its embedding', async () => {
    const source = await openWeights(join(golden, 'preln/pytorch_model.bin'))
    expect(source.tensors.get('lm_head.weight')?.sameAs).toBe('model.decoder.embed_tokens.weight')
    expect(await source.read('lm_head.weight')).toEqual(
      await source.read('model.decoder.embed_tokens.weight'),
    )
    await source.close()
  })
})

describe('a model', () => {
  test('is a folder with configuration, weights and tokenizer', async () => {
    const model = await openModelFolder(join(fixtures, 'tiny-opt'))
    expect(model.configJson).toMatchObject({
      model_type: 'opt',
      hidden_size: 256,
      _remove_final_layer_norm: false,
    })
    expect(model.source.tensors.get('model.decoder.embed_tokens.weight')?.shape).toEqual([4096, 256])
    expect(model.tokenizer?.encode('Once upon a time')).toEqual([2, 1706, 523, 262, 570])
    const inside = (name: string): string => join(fixtures, 'tiny-opt', name)
    expect(model.files).toEqual({
      folder: join(fixtures, 'tiny-opt'),
      weights: inside('model.safetensors'),
      all: ['config.json', 'model.safetensors', 'vocab.json', 'merges.txt'].map(inside),
    })
    await model.source.close()
  })

  test.each([
    'model.safetensors',
    'model.fp16.safetensors',
    'pytorch_model.bin',
    'model.safetensors.index.json',
  ])('is a file of weights with the rest beside it: %s', async (file) => {
    const model = await openModelFolder(join(golden, 'preln', file))
    expect(model.configJson).toMatchObject({ hidden_size: 32 })
    expect(model.files.weights).toBe(join(golden, 'preln', file))
    expect(model.tokenizer).toBeUndefined()
    await model.source.close()
  })
})

describe('a missing or broken file is named', () => {
  const root = temporaryFolder()
  let folder: string
  let count = 0
  beforeEach(() => {
    folder = join(root, `${count++}`)
    mkdirSync(folder)
  })
  const code = async (path = folder): Promise<string> => (await refusalOf(() => openModelFolder(path))).code
  const copy = (name: string, as = name): void => copyFileSync(join(golden, 'preln', name), join(folder, as))

  test('the folder, the configuration and the weights, in this order', async () => {
    expect(await code(join(folder, 'none'))).toBe('MODEL_MISSING')
    expect(await code()).toBe('MODEL_CONFIG')
    writeFileSync(join(folder, 'config.json'), '{"a":')
    expect(await code()).toBe('MODEL_WEIGHTS')
    copy('model.safetensors')
    expect(await code()).toBe('JSON_SYNTAX')
    writeFileSync(join(folder, 'config.json'), '[]')
    expect(await code()).toBe('MODEL_CONFIG')
    writeFileSync(join(folder, 'config.json'), '{"a":1,"a":2}')
    expect(await code()).toBe('JSON_DUPLICATE')
    writeFileSync(join(folder, 'config.json'), '{}')
    await (await openModelFolder(folder)).source.close()
    expect(await code(join(folder, 'config.json'))).toBe('MODEL_FORMAT')
  })

  test('a file is named itself, whatever lies beside it', async () => {
    const [notes, weights] = ['notes.txt', 'x.safetensors'].map((name) => join(folder, name))
    writeFileSync(notes, '')
    writeFileSync(weights, '')
    const refused = async (path: string): Promise<{ code: string; message: string }> =>
      refusalOf(() => openModelFolder(path))
    expect(await refused(notes)).toMatchObject({
      code: 'MODEL_FORMAT',
      message: `${notes}: expected a model's folder, or a file whose name ends with .safetensors, .bin, .index.json or .gguf, got the name "notes.txt"`,
    })
    expect(await refused(weights)).toMatchObject({
      code: 'MODEL_CONFIG',
      message: `${weights}: expected config.json beside it, got no such file`,
    })
  })

  test('a broken file is not replaced by another file', async () => {
    copy('config.json')
    copy('pytorch_model.bin')
    writeFileSync(join(folder, 'model.safetensors'), 'broken')
    expect(await code()).toBe('SAFETENSORS_SHORT')
    rmSync(join(folder, 'model.safetensors'))
    await (await openModelFolder(folder)).source.close()
    mkdirSync(join(folder, 'model.safetensors'))
    expect(await code()).toBe('FILE_KIND')
  })

  test('parts of torch, and an index that mixes formats', async () => {
    copy('config.json')
    copy('pytorch_model.bin', 'part.bin')
    const { source } = await openModelFolder(join(golden, 'preln/pytorch_model.bin'))
    const names = [...source.tensors.keys()]
    await source.close()
    const index = (file: string): void =>
      writeFileSync(
        join(folder, 'pytorch_model.bin.index.json'),
        JSON.stringify({ weight_map: Object.fromEntries(names.map((name) => [name, file])) }),
      )
    index('part.bin')
    const opened = await openModelFolder(folder)
    expect(opened.source.tensors.size).toBe(names.length)
    await opened.source.close()
    await writeSafetensors(join(folder, 'part.safetensors'), new Map())
    index('part.safetensors')
    expect(await code()).toBe('SHARD_FORMAT')
  })

  test('a pickle that names os.system is refused in one line that names it', async () => {
    copy('config.json')
    const { bytes } = torchFile(pickle(P.global('os', 'system'), '(', P.text('touch /tmp/owned'), 'tR'))
    writeFileSync(join(folder, 'pytorch_model.bin'), bytes)
    const error = await refusalOf(() => openModelFolder(folder))
    expect(error.code).toBe('PICKLE_GLOBAL')
    expect(error.exitCode).toBe(3)
    expect(error.message).toMatch(
      /^.*pytorch_model\.bin data\.pkl at byte 2: expected only the types of tensors, got "os\.system"$/,
    )
  })
})
