/**
 * Checkpoints in several files: the parts together are the whole, and an index can name nothing but files beside it.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { joinSafely, safePath } from '../../src/io/safe_path.ts'
import { openSafetensors } from '../../src/io/safetensors.ts'
import { writeSafetensors } from '../../src/io/safetensors_writer.ts'
import { openShards, parseShardIndex } from '../../src/io/shard_index.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { law } from '../harness/seed.ts'
import { concat } from '../../fixtures/hostile/bytes.ts'
import { answerOf, contentsOf, damagedValues, refusalOf, withByte } from './hostile.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'shadowllm-shards-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const unsafe = [
  ['', '.', '..', '../x', 'a/../x', 'a/..', './x', '/x', '/', 'a//b', 'a/', '//host/x', '\\\\host\\x'],
  ['a\\..\\b', '..\\x', 'C:x', 'C:\\x', 'c:/x', 'x:stream', '%2e%2e/x', 'a%2fb', 'a\0b', 'a\nb', 'a\u007fb'],
  ['x.', 'x ', ' x', 'a./b', 'a /b', 'CON', 'con.safetensors', 'NUL', 'a/aux.bin', 'COM1', 'lpt9.x', 'COM¹'],
  [
    'conin$',
    'a<b',
    'a>b',
    'a"b',
    'a|b',
    'a?b',
    'a*b',
    '\u202ex',
    'a\u200bb',
    '．．/x',
    '‥/x',
    'a／b',
    'a＼b',
  ],
  ['\ud800', 'x'.repeat(256), `${'x/'.repeat(600)}x`],
].flat()

describe('names of files', () => {
  test.each(unsafe)('IX01 %j is not safe', async (name) => {
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
    'whatever is accepted stays below the folder, and comes to lie where it says',
    [fc.array(marks, { maxLength: 8 }).map((list) => list.join(''))],
    async (name) => {
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

  test.each([
    ['JSON_SYNTAX', 'x'],
    ['JSON_DUPLICATE', '{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}'],
    ['SHARD_INDEX', '[]'],
    ['SHARD_INDEX', '{}'],
    ['SHARD_INDEX', '{"weight_map":[]}'],
    ['SHARD_INDEX', '{"weight_map":{}}'],
    ['SHARD_INDEX', '{"weight_map":{"a":1}}'],
    ['SHARD_INDEX', '{"weight_map":{"a":null}}'],
    ['SHARD_INDEX', '{"__proto__":{"weight_map":{"a":"1.safetensors"}}}'],
    ['TENSOR_NAME', '{"weight_map":{"":"1.safetensors"}}'],
    ['SHARD_FORMAT', '{"weight_map":{"a":"1.bin"}}'],
    ['SHARD_FORMAT', '{"weight_map":{"a":"model.safetensors.index.json"}}'], // IX06: itself
    ['PATH_UNSAFE', '{"weight_map":{"a":"../1.safetensors"}}'],
    ['PATH_UNSAFE', '{"weight_map":{"a":"\\u0000.safetensors"}}'],
  ])('is refused with %s: %s', async (code, text) => {
    expect((await refusalOf(() => index(text))).code).toBe(code)
  })

  test('IX05 entries without end are cut off by the size of a text, and read in a moment below it', async () => {
    const entries = Array.from({ length: 400_000 }, (_, i) => `"${i}":"${i % 7}.safetensors"`)
    const start = performance.now()
    expect(index(`{"weight_map":{${entries.join()}}}`).shards).toHaveLength(7)
    const shards = Array.from({ length: 10_001 }, (_, i) => `"${i}":"${i}.safetensors"`)
    expect((await refusalOf(() => index(`{"weight_map":{${shards.join()}}}`))).code).toBe('SHARD_LIMIT')
    expect(performance.now() - start).toBeLessThan(20_000)
    const path = join(folder, 'large.index.json')
    writeFileSync(path, new Uint8Array(25_000_001))
    expect((await refusalOf(() => openShards(path, '.safetensors', openSafetensors))).code).toBe('FILE_LIMIT')
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

describe('shards', () => {
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

  test('that disagree with the index are refused', async () => {
    const [one, two] = ['1.safetensors', '2.safetensors']
    await write(folder, one, ['a'])
    await write(folder, two, ['b'])
    const code = async (weightMap: Record<string, string>): Promise<string> =>
      (await refusalOf(() => open(folder, weightMap))).code
    expect(await code({ a: one, b: two, c: '3.safetensors' })).toBe('SHARD_MISSING') // IX02
    expect(await code({ a: one, b: two, c: two })).toBe('SHARD_LACKS') // IX04
    copyFileSync(join(folder, one), join(folder, '3.safetensors'))
    expect(await code({ a: one, b: '3.safetensors' })).toBe('SHARD_DUPLICATE') // IX03
    await write(folder, one, ['a', 'c'])
    expect(await code({ a: one, b: two })).toBe('SHARD_UNLISTED')
    writeFileSync(join(folder, two), 'cut')
    expect(await code({ a: one, c: one, b: two })).toBe('SAFETENSORS_SHORT')
  })
})
