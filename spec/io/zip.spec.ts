/**
 * Zip archives, of the one kind that has a single reading. What has more is in the table of hostile inputs.
 *
 * Tests src/io/zip_directory.ts.
 */
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytesAsFile } from '../../src/io/files.ts'
import { openZip, type ZipArchive } from '../../src/io/zip.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { law, scaledRuns } from '../harness/seed.ts'
import { concat, littleEndian } from '../../fixtures/hostile/bytes.ts'
import { answerOf, damagedValues, refusalOf, withByte } from './hostile.ts'
import { makeZip, patched, type EntryToZip } from '../../fixtures/hostile/build_torch.ts'

const open = (bytes: Uint8Array): Promise<ZipArchive> => openZip(bytesAsFile(bytes), 'a.zip')

async function contents(bytes: Uint8Array): Promise<[string, number[]][]> {
  const archive = await open(bytes)
  const list: [string, number[]][] = []
  for (const entry of archive.entries.values()) list.push([entry.name, [...(await archive.read(entry))]])
  return list
}

const entry = fc.record({
  name: fc
    .array(fc.constantFrom('a', 'b', 'é', '-', '1'), { minLength: 1, maxLength: 4 })
    .map((marks) => marks.join('')),
  data: fc.uint8Array({ maxLength: 20 }),
  descriptor: fc.constantFrom(undefined, 'marked', 'plain', 'marked64', 'plain64') as fc.Arbitrary<
    EntryToZip['descriptor']
  >,
  localExtra: fc.constantFrom(undefined, concat('FB', littleEndian(3, 2), 'ZZZ')),
})
const entries = fc.uniqueArray(entry, { maxLength: 4, selector: ({ name }) => name })

describe('a stored entry', () => {
  law(
    'is read, with every form of sizes',
    { list: entries, zip64: fc.boolean() },
    async ({ list, zip64 }) => {
      const expected = list.map(({ name, data }) => [name, [...data]])
      expect(await contents(makeZip(list, zip64).bytes)).toEqual(expected)
    },
  )

  law(
    'is read in parts, and each part is checked',
    { data: fc.uint8Array({ minLength: 1, maxLength: 30 }), a: fc.nat(), b: fc.nat() },
    async ({ data, a, b }) => {
      const { bytes, data: starts } = makeZip([{ name: 'x', data }])
      const [offset, end] = [a % (data.length + 1), b % (data.length + 1)].toSorted((x, y) => x - y)
      const archive = await open(bytes)
      const [x] = archive.entries.values()
      expect(await archive.read(x, offset, end - offset)).toEqual(data.slice(offset, end))
      // ZP09: a change anywhere in the entry is seen whichever part is asked for.
      const changed = await open(withByte(bytes, starts[0] + (a % data.length), data[a % data.length] ^ 1))
      const refused = await refusalOf(() => changed.read(x, offset, end - offset))
      expect(refused.code).toBe('ZIP_CRC')
      const hex = crc32(data).toString(16).padStart(8, '0')
      expect(refused.message).toMatch(new RegExp(`expected checksum ${hex}, got [0-9a-f]{8}$`))
    },
  )

  test('64-bit sizes are read if the 32-bit ones are marked', async () => {
    const data = concat('hello')
    const wide = concat(littleEndian(1, 2), littleEndian(16, 2), littleEndian(5, 8), littleEndian(5, 8))
    const plain = makeZip([{ name: 'x', data, localExtra: wide, centralExtra: wide }])
    const full = [255, 255, 255, 255, 255, 255, 255, 255]
    const both = patched({ bytes: patched(plain, plain.local[0] + 18, full) }, plain.central[0] + 20, full)
    expect(await contents(both)).toEqual([['x', [...data]]])
    expect((await refusalOf(() => open(plain.bytes))).code).toBe('ZIP_ZIP64') // 64-bit sizes that nothing refers to
  })
})

describe('an end record marked as 64-bit', () => {
  const fields: [string, number, number][] = [
    ['entries', 8, 4],
    ['the size of the directory', 12, 4],
    ['its place', 16, 4],
  ]
  const saturated = (zip64: boolean, at: number, length: number): Uint8Array => {
    const zip = makeZip([{ name: 'x', data: concat('hello') }], zip64)
    return patched(
      zip,
      zip.end + at,
      Array.from({ length }, () => 0xff),
    )
  }

  test.each(fields)('for %s is read where there is a 64-bit one', async (_, at, length) => {
    expect(await contents(saturated(true, at, length))).toEqual([['x', [...concat('hello')]]])
  })

  test.each(fields)('for %s is refused where there is none', async (_, at, length) => {
    expect((await refusalOf(() => open(saturated(false, at, length)))).code).toBe('ZIP_ZIP64')
  })
})

describe('damage', () => {
  const sample = makeZip(
    [
      {
        name: 'm/data.pkl',
        data: concat('pickle'),
        descriptor: 'marked',
        localExtra: concat('FB', littleEndian(4, 2), 'ZZZZ'),
      },
      { name: 'm/data/0', data: concat('storage') },
    ],
    true,
  )

  test('every strict prefix is refused', async () => {
    for (let length = 0; length < sample.bytes.length; length++)
      await refusalOf(() => open(sample.bytes.slice(0, length)))
  })

  test('any change of any byte is refused, or changes nothing that is read', async () => {
    const whole = await contents(sample.bytes)
    for (let index = 0; index < sample.bytes.length; index++) {
      for (const value of damagedValues(sample.bytes[index], scaledRuns(1) >= 10)) {
        const answer = await answerOf(() => contents(withByte(sample.bytes, index, value)))
        if (!(answer instanceof InputError)) expect(answer).toEqual(whole)
      }
    }
  })

  law(
    'two spliced archives read as one of them, or are refused',
    { a: entries, b: entries, cut: fc.nat(), from: fc.nat() },
    async ({ a, b, cut, from }) => {
      const [first, second] = [makeZip(a).bytes, makeZip(b).bytes]
      const spliced = concat(
        first.slice(0, cut % (first.length + 1)),
        second.slice(from % (second.length + 1)),
      )
      const answer = await answerOf(() => contents(spliced))
      if (answer instanceof InputError) return
      const known = [...a, ...b].map(({ name, data }) => `${name} ${data.join()}`)
      for (const [name, data] of answer) expect(known).toContain(`${name} ${data.join()}`)
    },
  )
})
