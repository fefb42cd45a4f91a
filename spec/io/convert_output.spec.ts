/**
 * Where a conversion goes: into a new folder, a folder that is there, one file. What is there stays unless it may be
 * replaced, and a conversion that ends early, however, leaves nothing under a name that a reader would look for.
 *
 * Tests src/io/staged_output.ts.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { convertCheckpoint } from '../../src/io/convert.ts'
import { openModelFolder } from '../../src/io/load.ts'
import { ShadowError } from '../../src/tensor/errors.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { contentsOf } from './hostile.ts'

const golden = fileURLToPath(new URL('../../fixtures/golden/preln/', import.meta.url))
const root = temporaryFolder()
let folder: string
let count = 0
beforeEach(() => {
  folder = join(root, `${count++}`)
  mkdirSync(folder)
})

const put = (at: string, ...names: string[]): void => {
  mkdirSync(at, { recursive: true })
  for (const name of names) writeFileSync(join(at, name), readFileSync(join(golden, name)))
}
const codeOf = async (action: Promise<unknown>): Promise<string> => {
  const error: unknown = await action.catch((reason: unknown) => reason)
  if (error instanceof ShadowError) return error.code
  throw error instanceof Error ? error : new Error('expected a refusal, but it went well')
}

describe('existing output', () => {
  test('a folder is created with all files of a model', async () => {
    put(join(folder, 'a'), 'config.json', 'pytorch_model.bin')
    for (const name of ['vocab.json', 'merges.txt', 'README.md']) writeFileSync(join(folder, 'a', name), name)
    const { files } = await convertCheckpoint(join(folder, 'a'), join(folder, 'b'))
    const names = ['config.json', 'vocab.json', 'merges.txt', 'model.safetensors']
    expect(files.map(({ name }) => name)).toEqual(names)
    expect(readdirSync(join(folder, 'b'))).toEqual(names.toSorted())
    expect(readdirSync(folder)).toEqual(['a', 'b'])
  })

  test('one file holds the weights alone', async () => {
    const to = join(folder, 'x.safetensors')
    const { files } = await convertCheckpoint(join(golden, 'pytorch_model.bin'), to)
    expect(files.map(({ name }) => name)).toEqual(['x.safetensors'])
    expect(readdirSync(folder)).toEqual(['x.safetensors'])
    expect(await codeOf(convertCheckpoint(golden, join(folder, 'y.safetensors'), { shardSize: 9 }))).toBe(
      'OUTPUT',
    )
  })

  test('files that would be replaced, or read instead of the result, are kept without --force', async () => {
    const to = join(folder, 'to')
    put(to, 'model.safetensors')
    writeFileSync(join(to, 'notes'), 'mine')
    const before = readFileSync(join(to, 'model.safetensors'))
    for (const options of [{}, { shardSize: 50_000 }])
      expect(await codeOf(convertCheckpoint(golden, to, options))).toBe('OUTPUT_EXISTS')
    expect(readFileSync(join(to, 'model.safetensors'))).toEqual(before)
    expect(readdirSync(to)).toEqual(['model.safetensors', 'notes'])
    await convertCheckpoint(join(golden, 'model.fp16.safetensors'), to, { shardSize: 20_000, force: true })
    expect(existsSync(join(to, 'model.safetensors'))).toBe(false)
    expect(readFileSync(join(to, 'notes'), 'utf8')).toBe('mine')
    const { tensors } = await contentsOf((await openModelFolder(to)).source)
    expect(new Set(tensors.map(({ dtype }) => dtype))).toEqual(new Set(['F16']))
    expect(readdirSync(folder)).toEqual(['to'])
  })

  test('safetensors may be written beside their .bin, and are read first', async () => {
    put(folder, 'config.json', 'pytorch_model.bin')
    const { files } = await convertCheckpoint(folder, folder)
    expect(files.map(({ name }) => name)).toEqual(['model.safetensors'])
    const model = await openModelFolder(folder)
    expect(model.files.weights).toBe(join(folder, 'model.safetensors'))
    await model.source.close()
  })

  test('nothing is converted into itself', async () => {
    put(folder, 'config.json', 'model.safetensors')
    for (const to of [folder, join(folder, 'model.safetensors'), join(folder, '..', `${count - 1}`)])
      expect(await codeOf(convertCheckpoint(folder, to, { force: true, shardSize: undefined }))).toBe(
        'OUTPUT',
      )
  })

  test('a folder in the place of a file is refused, also with --force', async () => {
    mkdirSync(join(folder, 'model.safetensors'))
    expect(await codeOf(convertCheckpoint(golden, folder, { force: true }))).toBe('OUTPUT')
  })
})

describe('a conversion that ends early', () => {
  /** Stops a conversion after some parts; what is then in the folder it would go to. */
  const leavesNothing = lawForAll(
    'leaves the old files and nothing else',
    { after: fc.nat(35), exists: fc.boolean(), shardSize: fc.integer({ min: 10_000, max: 200_000 }) },
    async (convert: typeof convertCheckpoint, { after, exists, shardSize }): Promise<void> => {
      const place = mkdtempSync(join(root, 'stopped-'))
      const to = join(place, 'to')
      if (exists) put(to, 'model.safetensors')
      const stop = new AbortController()
      let parts = 0
      const onProgress = (): void => {
        if (++parts > after) stop.abort(new Error('enough'))
      }
      const options = { shardSize, force: true, signal: stop.signal, onProgress }
      await expect(convert(join(golden, 'pytorch_model.bin'), to, options)).rejects.toThrow('enough')
      expect(readdirSync(place)).toEqual(exists ? ['to'] : [])
      if (exists) {
        expect(readdirSync(to)).toEqual(['model.safetensors'])
        expect(readFileSync(join(to, 'model.safetensors'))).toEqual(
          readFileSync(join(golden, 'model.safetensors')),
        )
      }
    },
    { runs: 40 },
  )
  stateLaw(leavesNothing, convertCheckpoint)

  killsEach('a mutant that %s is killed', leavesNothing, {
    'writes in place': async (from, to, options = {}) => {
      mkdirSync(to, { recursive: true })
      writeFileSync(join(to, 'model.safetensors'), '')
      return convertCheckpoint(from, to, options)
    },
    'does not hear': (from, to, options) => convertCheckpoint(from, to, { ...options, signal: undefined }),
    'leaves its parts': (from, to, options) => {
      mkdirSync(`${to}.tmp`)
      return convertCheckpoint(from, to, options)
    },
  })

  test('a source that proves broken leaves nothing', async () => {
    put(folder, 'config.json', 'pytorch_model.bin')
    const path = join(folder, 'pytorch_model.bin')
    const bytes = readFileSync(path)
    bytes[bytes.length >> 1] ^= 1 // in some storage
    writeFileSync(path, bytes)
    expect(await codeOf(convertCheckpoint(folder, join(folder, 'to')))).toBe('ZIP_CRC')
    expect(readdirSync(folder)).toEqual(['config.json', 'pytorch_model.bin'])
  })
})
