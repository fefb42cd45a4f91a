/**
 * Zip archives, of the one kind that has a single reading: ZP01 to ZP12 of the list of hostile files.
 */
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

describe('what is stored', () => {
  law('is read, with every form of sizes', [entries, fc.boolean()], async (list, zip64) => {
    const expected = list.map(({ name, data }) => [name, [...data]])
    expect(await contents(makeZip(list, zip64).bytes)).toEqual(expected)
  })

  law(
    'is read in parts, and each part is checked',
    [fc.uint8Array({ minLength: 1, maxLength: 30 }), fc.nat(), fc.nat()],
    async (data, a, b) => {
      const { bytes, data: starts } = makeZip([{ name: 'x', data }])
      const [offset, end] = [a % (data.length + 1), b % (data.length + 1)].toSorted((x, y) => x - y)
      const archive = await open(bytes)
      const [x] = archive.entries.values()
      expect(await archive.read(x, offset, end - offset)).toEqual(data.slice(offset, end))
      // ZP09: a change anywhere in the entry is seen whichever part is asked for.
      const changed = await open(withByte(bytes, starts[0] + (a % data.length), data[a % data.length] ^ 1))
      expect((await refusalOf(() => changed.read(x, offset, end - offset))).code).toBe('ZIP_CRC')
    },
  )

  test('64-bit sizes are read where 32 bits are marked as not enough', async () => {
    const data = concat('hello')
    const wide = concat(littleEndian(1, 2), littleEndian(16, 2), littleEndian(5, 8), littleEndian(5, 8))
    const plain = makeZip([{ name: 'x', data, localExtra: wide, centralExtra: wide }])
    const full = [255, 255, 255, 255, 255, 255, 255, 255]
    const both = patched({ bytes: patched(plain, plain.local[0] + 18, full) }, plain.central[0] + 20, full)
    expect(await contents(both)).toEqual([['x', [...data]]])
    expect((await refusalOf(() => open(plain.bytes))).code).toBe('ZIP_ZIP64') // 64-bit sizes that nothing refers to
  })
})

const two = makeZip([
  { name: 'a', data: concat('first') },
  { name: 'b', data: concat('second') },
])
const torch = makeZip([{ name: 'a', data: concat('first'), descriptor: 'marked' }], true)
const one = (more: Partial<EntryToZip>): Uint8Array =>
  makeZip([{ name: 'a', data: concat('first'), ...more }]).bytes
/** An archive in which entry b's field is replaced, in the directory and in its header. */
const both = (central: number, local: number, value: number[]): Uint8Array =>
  patched({ bytes: patched(two, two.central[1] + central, value) }, two.local[1] + local, value)
const extra = (id: number, ...sizes: number[]): Uint8Array =>
  concat(
    littleEndian(id, 2),
    littleEndian(8 * sizes.length, 2),
    ...sizes.map((size) => littleEndian(size, 8)),
  )

describe('hostile archives', () => {
  const full = [255, 255, 255, 255]
  test.each<[string, string, Uint8Array]>([
    ['no bytes', 'ZIP_END', new Uint8Array(0)],
    ['22 other bytes', 'ZIP_END', new Uint8Array(22)],
    ['ZP01 deflated', 'ZIP_COMPRESSED', one({ method: 8 })],
    [
      'ZP01 stored in the directory, deflated in the header',
      'ZIP_MISMATCH',
      patched(two, two.local[1] + 8, [8]),
    ],
    ['ZP02 another size in the header', 'ZIP_MISMATCH', patched(two, two.local[0] + 22, [4])],
    ['ZP02 another packed size in the header', 'ZIP_MISMATCH', patched(two, two.local[0] + 18, [4])],
    ['ZP02 another checksum in the header', 'ZIP_MISMATCH', patched(two, two.local[0] + 14, [0])],
    [
      'ZP02 a size of 0 without a descriptor',
      'ZIP_MISMATCH',
      patched(two, two.local[0] + 18, Array(8).fill(0)),
    ],
    ['ZP02 two sizes in the directory', 'ZIP_MISMATCH', patched(two, two.central[0] + 20, [4])],
    ['ZP02 another name in the header', 'ZIP_MISMATCH', patched(two, two.local[0] + 30, concat('c'))],
    ['ZP02 other flags in the header', 'ZIP_MISMATCH', patched(two, two.local[0] + 7, [0])],
    ['ZP02 a descriptor that lies', 'ZIP_MISMATCH', patched(torch, torch.data[0] + 5 + 8, [4])],
    [
      'ZP03 a name twice',
      'ZIP_DUPLICATE',
      makeZip([
        { name: 'a', data: concat('1') },
        { name: 'a', data: concat('2') },
      ]).bytes,
    ],
    ...['../x', '/x', 'a/../../x', 'C:x', 'a\\x', 'a/', '', 'nul'].map(
      (name): [string, string, Uint8Array] => [
        `ZP04 name ${JSON.stringify(name)}`,
        'PATH_UNSAFE',
        one({ name }),
      ],
    ),
    ['ZP04 a name with a NUL', 'PATH_UNSAFE', one({ name: 'a\0b' })],
    ['ZP04 a name that is not UTF-8', 'ZIP_NAME', both(46, 30, [0xff])],
    ['ZP04 a name beyond ASCII without the flag', 'ZIP_NAME', one({ name: 'é', flags: 0 })],
    ['ZP05 two entries at one place', 'ZIP_OVERLAP', patched(two, two.central[1] + 42, littleEndian(0, 4))],
    [
      'ZP05 an entry inside another',
      'ZIP_OVERLAP',
      patched(two, two.central[1] + 42, littleEndian(two.data[0] + 1, 4)),
    ],
    [
      'ZP05 an entry inside the directory',
      'ZIP_GAP',
      patched(two, two.central[1] + 42, littleEndian(two.central[0], 4)),
    ],
    ['ZP05 an entry past the end', 'ZIP_GAP', patched(two, two.central[0] + 42, littleEndian(1e6, 4))],
    ['ZP06 bytes before', 'ZIP_DIRECTORY', concat('x', two.bytes)],
    ['ZP06 bytes before, offsets moved', 'ZIP_GAP', moved(concat('x', two.bytes), 1)],
    ['ZP06 bytes after', 'ZIP_END', concat(two.bytes, 'x')],
    ['ZP06 two archives', 'ZIP_DIRECTORY', concat(one({}), two.bytes)],
    ['ZP06 a comment that is not there', 'ZIP_END', patched(two, two.end + 20, [3])],
    ['ZP06 a comment', 'ZIP_END', concat(patched(two, two.end + 20, [3]), 'abc')],
    [
      'ZP06 an end record in the comment',
      'ZIP_DIRECTORY',
      concat(patched(two, two.end + 20, [22]), two.bytes.slice(two.end)),
    ],
    ['ZP06 a comment on an entry', 'ZIP_DIRECTORY', one({ comment: 'abc' })],
    ['ZP06 bytes between entries', 'ZIP_GAP', both(20, 18, [5, 0, 0, 0, 5, 0, 0, 0])],
    ['ZP06 one entry less in the end record', 'ZIP_DIRECTORY', patched(two, two.end + 8, [1, 0, 1, 0])],
    ['ZP06 one entry more in the end record', 'ZIP_DIRECTORY', patched(two, two.end + 8, [3, 0, 3, 0])],
    ['ZP06 counts that differ', 'ZIP_DISKS', patched(two, two.end + 8, [1])],
    ['ZP06 part 2 of an archive', 'ZIP_DISKS', patched(two, two.end + 4, [1])],
    [
      'ZP07 64-bit count that differs',
      'ZIP_ZIP64',
      patched(torch, torch.end - 20 - 56 + 24, [2, 0, 0, 0, 0, 0, 0, 0, 2]),
    ],
    ['ZP07 64-bit record elsewhere', 'ZIP_ZIP64', patched(torch, torch.end - 12, [0])],
    ['ZP07 64-bit offset of 2^63', 'ZIP_ZIP64', patched(torch, torch.end - 20 - 56 + 48 + 7, [0x80])],
    ['ZP07 marked as 64-bit, but no such record', 'ZIP_ZIP64', patched(two, two.end + 12, full)],
    [
      'ZP07 an entry marked as 64-bit without the field',
      'ZIP_ZIP64',
      patched(two, two.central[0] + 24, full),
    ],
    ['ZP07 a 64-bit field that is too short', 'ZIP_ZIP64', wide(extra(1, 5))],
    ['ZP07 a 64-bit field that is too long', 'ZIP_ZIP64', wide(extra(1, 5, 5, 0))],
    ['ZP07 two 64-bit fields', 'ZIP_ZIP64', wide(concat(extra(1, 5, 5), extra(1, 6, 6)))],
    ['ZP07 a 64-bit size of 2^60', 'ZIP_ZIP64', wide(extra(1, 2 ** 60, 2 ** 60))],
    ['ZP07 an extra field that is cut', 'ZIP_DIRECTORY', one({ centralExtra: concat([1, 0, 9, 0], 'abc') })],
    ['ZP08 encrypted', 'ZIP_ENCRYPTED', one({ flags: 0x801 })],
    ['ZP08 strongly encrypted', 'ZIP_ENCRYPTED', one({ flags: 0x840 })],
    ['ZP08 a patch', 'ZIP_FLAGS', one({ flags: 0x820 })],
    ['ZP12 claims 4 GB of zeros', 'ZIP_OVERLAP', both(20, 18, [254, 255, 255, 255, 254, 255, 255, 255])],
  ])('%s: %s', async (_, code, bytes) => {
    expect((await refusalOf(() => open(bytes))).code).toBe(code)
  })

  /** The same archive `by` bytes later, with offsets that say so. */
  function moved(bytes: Uint8Array, by: number): Uint8Array {
    const out = new Uint8Array(bytes)
    const view = new DataView(out.buffer)
    for (const at of [...two.central.map((start) => start + 42), two.end + 16]) {
      view.setUint32(at + by, view.getUint32(at + by, true) + by, true)
    }
    return out
  }

  /** One entry marked as 64-bit in the directory, with this extra field. */
  function wide(centralExtra: Uint8Array): Uint8Array {
    const zip = makeZip([{ name: 'a', data: concat('first'), centralExtra }])
    return patched(zip, zip.central[0] + 20, [...full, ...full])
  }

  test('ZP12 20,000 names for the same bytes are refused, in bounded time', async () => {
    const many = Array.from({ length: 20_000 }, (_, i) => ({ name: `${i}`, data: new Uint8Array(0) }))
    const zip = makeZip(many)
    const start = performance.now()
    expect((await open(zip.bytes)).entries.size).toBe(20_000)
    for (const at of zip.central) zip.bytes.set([0, 0, 0, 0], at + 42)
    expect((await refusalOf(() => open(zip.bytes))).code).toBe('ZIP_OVERLAP')
    expect(performance.now() - start).toBeLessThan(20_000)
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
    'two archives spliced are one of them, or refused',
    [entries, entries, fc.nat(), fc.nat()],
    async (a, b, cut, from) => {
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
