/**
 * Checkpoints in several files: the parts together are the whole, and an index can name nothing but files beside it.
 *
 * Tests src/io/safe_path.ts.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { joinSafely, safePath } from '../../src/io/safe_path.ts'
import { openSafetensors } from '../../src/io/safetensors.ts'
import { writeSafetensors } from '../../src/io/safetensors_writer.ts'
import { openShards, parseShardIndex } from '../../src/io/shard_index.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { law } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { concat } from '../../fixtures/hostile/bytes.ts'
import { unsafePaths } from '../../fixtures/hostile/shards.ts'
import { answerOf, contentsOf, damagedValues, refusalOf, withByte } from './hostile.ts'

const folder = temporaryFolder()

describe('names of files', () => {
  test.each(unsafePaths)('IX01 %j is not safe', async (name) => {
    expect((await refusalOf(() => safePath(name, 'index'))).code).toBe('PATH_UNSAFE')
    expect((await refusalOf(() => joinSafely('/tmp', name, 'index'))).code).toBe('PATH_UNSAFE')
  })

  test.each([
    'x',
    'model-00001-of-00002.safetensors',
    'a/b/c.bin',
    '...x',
    '.data/x',
    'été',
    'com10',
    'console',
    'a b',
    'x..y',
  ])('%j is safe', (name) => {
    expect(safePath(name, 'index')).toBe(name)
    expect(joinSafely('/some/folder', name, 'index')).toBe(join('/some/folder', name))
    expect(joinSafely('.', name, 'index')).toBe(join('.', name))
    expect(joinSafely('/', name, 'index')).toBe(join('/', name))
  })

  const marks = fc.constantFrom('.', '..', '/', '\\', ':', '%', 'a', 'b', ' ', '\0', 'C:', '~', '$', 'é')
  law(
    'an accepted name stays below the folder, at its own path',
    { name: fc.array(marks, { maxLength: 8 }).map((list) => list.join('')) },
    async ({ name }) => {
      const path = await answerOf(() => joinSafely('/cache/model', name, 'index'))
      if (!(path instanceof InputError)) expect(path).toBe(`/cache/model/${name}`)
    },
    { runs: 1000 },
  )
})

const index = (text: string): ReturnType<typeof parseShardIndex> =>
  parseShardIndex(concat(text), 'model.safetensors.index.json', '.safetensors')

describe('an index', () => {
  test('gives each tensor its file', () => {
    const { files, shards } = index(
      '{"metadata":{"total_size":1.5},"weight_map":{"b":"2.safetensors","__proto__":"1.safetensors"}}',
    )
    expect([...files]).toEqual([
      ['b', '2.safetensors'],
      ['__proto__', '1.safetensors'],
    ])
    expect(shards).toEqual(['2.safetensors', '1.safetensors'])
  })

  test('damaged anywhere is read or refused', async () => {
    const bytes = concat('{"metadata":{},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}')
    for (let at = 0; at < bytes.length; at++) {
      await refusalOf(() => parseShardIndex(bytes.slice(0, at), 'i', '.safetensors'))
      for (const value of damagedValues(bytes[at], false)) {
        await answerOf(() => parseShardIndex(withByte(bytes, at, value), 'i', '.safetensors'))
      }
    }
  })
})

describe('parts', () => {
  const write = (place: string, file: string, names: string[]): Promise<void> =>
    writeSafetensors(
      join(place, file),
      new Map(
        names.map((name) => [name, { dtype: 'U8', shape: [1], data: Uint8Array.of(name.charCodeAt(0)) }]),
      ),
    )
  const open = (place: string, weightMap: Record<string, string>): ReturnType<typeof openShards> => {
    const path = join(place, 'model.safetensors.index.json')
    writeFileSync(path, JSON.stringify({ weight_map: weightMap }))
    return openShards(path, '.safetensors', openSafetensors)
  }

  test('are one source', async () => {
    await write(folder, '1.safetensors', ['a', 'c'])
    mkdirSync(join(folder, 'sub'))
    await write(folder, 'sub/2.safetensors', ['b'])
    const source = await open(folder, { a: '1.safetensors', b: 'sub/2.safetensors', c: '1.safetensors' })
    expect((await refusalOf(() => source.read('d'))).code).toBe('TENSOR_MISSING')
    expect((await refusalOf(() => source.readRaw('d'))).code).toBe('TENSOR_MISSING')
    const { tensors } = await contentsOf(source)
    expect(tensors.map(({ name, bytes }) => [name, ...bytes])).toEqual([
      ['a', 97],
      ['b', 98],
      ['c', 99],
    ])
  })
})
