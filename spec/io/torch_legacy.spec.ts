/**
 * The format before torch 1.6, ZP13 of the list of hostile files: what it says is read, and every byte of it has one
 * meaning or is refused.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytesAsFile } from '../../src/io/files.ts'
import { readTorchCheckpoint } from '../../src/io/torch_checkpoint.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { law, scaledRuns } from '../harness/seed.ts'
import { concat } from '../../fixtures/hostile/bytes.ts'
import {
  answerOf,
  contentsOf,
  damagedValues,
  parseTorch,
  refusalOf,
  withByte,
  type Contents,
} from './hostile.ts'
import {
  dict,
  legacyFile,
  legacyStorage,
  machine,
  P,
  pickle,
  sizes,
  tensor,
  texts,
  tuple,
  type LegacyParts,
  type Piece,
} from '../../fixtures/hostile/build_torch.ts'

const golden = (file: string): Uint8Array =>
  new Uint8Array(readFileSync(fileURLToPath(new URL(`../../fixtures/golden/preln/${file}`, import.meta.url))))
const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer)

/** A row of numbers: `length` from `offset` on in a storage, or in part of one. */
const row = (key: string, of: number, offset = 0, length = of - offset, view: Piece = P.none): Uint8Array =>
  tensor(legacyStorage('FloatStorage', key, P.int(of), view), P.int(offset), sizes(length), sizes(1))
const view = (key: string, offset: number, length: number): Uint8Array =>
  tuple(P.text(key), P.int(offset), P.int(length))
const state = (...pieces: Piece[]): Uint8Array =>
  dict(...pieces.map((piece, i): [Piece, Piece] => [P.text('abcdef'[i]), piece]))

const six = floats(1, 2, 3, 4, 5, 6)
const two = floats(7, 8)
/** Storages of six numbers and of two, with these counts. */
const counted = (first: number | bigint, second = 2): NonNullable<LegacyParts['storages']> => [
  [first, six],
  [second, two],
]
const plain: LegacyParts = {
  tensors: state(row('0', 6), row('1', 2)),
  storages: counted(6),
}

/** What is judged here. */
type Read = (bytes: Uint8Array) => Promise<Contents>
const read: Read = (bytes) => contentsOf(parseTorch(bytes, 'pytorch_model.bin'))

async function valuesOf(parts: LegacyParts): Promise<number[][]> {
  const { tensors } = await read(legacyFile(parts))
  return tensors.map(({ bytes }) => [...new Float32Array(bytes.buffer)])
}

describe('files of torch before 1.6 are read', () => {
  const sameAsZip = async (readLegacy: Read): Promise<void> => {
    const expected = await read(golden('pytorch_model.bin'))
    expect(expected.tensors.length).toBeGreaterThan(30)
    expect(await readLegacy(golden('pytorch_model.legacy.bin'))).toEqual(expected)
  }

  test('a file of torch has the tensors, byte for byte, of the zip archive of the same model', async () => {
    await sameAsZip(read)
  })

  test.each(
    Object.entries<Read>({
      'a mutant that swaps two tensors': async (bytes) =>
        edited(await read(bytes), ([a, b]) => [{ ...a, bytes: b.bytes }]),
      'a mutant that drops the last tensor': async (bytes) =>
        edited(await read(bytes), (all) => all.slice(0, -1)),
    }),
  )('%s is killed', async (_, mutant) => {
    await expect(sameAsZip(mutant)).rejects.toThrow('expected')
  })

  test('storages follow in the order of the list, for any order', async () => {
    expect(await valuesOf(plain)).toEqual([
      [1, 2, 3, 4, 5, 6],
      [7, 8],
    ])
    const turned = { ...plain, keys: texts('1', '0'), storages: plain.storages?.toReversed() }
    expect(await valuesOf(turned)).toEqual(await valuesOf(plain))
  })

  test('views of a storage, with keys of their own, and views of those', async () => {
    const parts = state(
      row('0', 6),
      row('0', 6, 0, 3, view('71', 2, 3)),
      row('0', 6, 1, 2, view('71', 2, 3)),
      row('0', 6, 2, 3),
    )
    expect(await valuesOf({ tensors: parts, storages: [[6, six]] })).toEqual([
      [1, 2, 3, 4, 5, 6],
      [3, 4, 5],
      [4, 5],
      [3, 4, 5],
    ])
    const source = await parseTorch(legacyFile({ tensors: parts, storages: [[6, six]] }))
    expect([...source.tensors.values()].map(({ sameAs }) => sameAs)).toEqual([
      undefined,
      undefined,
      undefined,
      'b',
    ])
  })

  test('no tensors, empty storages and no system information are accepted', async () => {
    expect(await valuesOf({ tensors: dict() })).toEqual([])
    expect(await valuesOf({ tensors: state(row('0', 0)), storages: [[0, new Uint8Array(0)]] })).toEqual([[]])
    const about = dict([P.text('little_endian'), P.true])
    expect(await valuesOf({ ...plain, machine: about })).toEqual(await valuesOf(plain))
  })

  law(
    'pickles of any length are read, with at most twice their bytes',
    { tensors: fc.integer({ min: 0, max: 6000 }), more: fc.nat(40) },
    async ({ tensors, more }) => {
      const data = new Uint8Array(24 * 6000)
      const storage = legacyStorage('FloatStorage', '0', P.int(36_000))
      const named = (name: string, length: number): [Piece, Piece] => [
        P.text(name),
        tensor(storage, P.int(0), sizes(length), sizes(1)),
      ]
      const names = Array.from({ length: tensors }, (_, i) => `${'n'.repeat(more)}${i}`)
      const description = dict(named('w', 36_000), ...names.map((name) => named(name, 2)))
      const bytes = legacyFile({ tensors: description, storages: [[36_000, data]] })
      let most = 0
      const file = bytesAsFile(bytes)
      const source = await readTorchCheckpoint(
        { ...file, read: (offset, length) => ((most = Math.max(most, length)), file.read(offset, length)) },
        'x',
      )
      expect(source.tensors.size).toBe(tensors + 1)
      expect(most).toBeLessThanOrEqual(Math.max(2 ** 16, 2 * (bytes.length - data.length)))
    },
    { runs: 10 },
  )
})

function edited(contents: Contents, change: (tensors: Contents['tensors']) => Contents['tensors']): Contents {
  return { ...contents, tensors: change(contents.tensors) }
}

/** What is refused, by the code of its error. */
const refusedParts: Readonly<Record<string, Readonly<Record<string, Partial<LegacyParts>>>>> = {
  TORCH_FORMAT: {
    'another number at the start': { start: P.long(0x1950a86a20f9469cfc6dn, 10) },
  },
  TORCH_LEGACY_VERSION: {
    'another version': { version: P.int(1000) },
    'a version of text': { version: P.text('1001') },
    'a machine of another version': { machine: machine(P.true, P.int(1002)) },
  },
  TORCH_LEGACY_MACHINE: {
    'a machine that is no dict': { machine: P.none },
  },
  TORCH_BYTEORDER: {
    'ZP11 big-endian': { machine: machine(P.false) },
    'ZP11 little_endian as a number': { machine: machine(P.int(1)) },
    'ZP11 no word about the order': { machine: dict() },
  },
  PICKLE_GLOBAL: {
    'PK01 a machine that would run a command': { machine: attack() },
    'PK01 tensors that would run a command': { tensors: attack() },
    'PK01 keys that would run a command': { keys: attack() },
  },
  TORCH_ENTRY: {
    'no dict of tensors': { tensors: P.none },
    'a storage instead of a tensor': { tensors: state(legacyStorage('FloatStorage', '0', P.int(6))) },
  },
  PICKLE_PERSID: {
    'PK17 five items, as in a zip archive': {
      tensors: state(
        concat(
          tuple(P.text('storage'), P.global('torch', 'FloatStorage'), P.text('0'), P.text('cpu'), P.int(6)),
          'Q',
        ),
      ),
    },
    'PK17 a module': {
      tensors: state(concat(tuple(P.text('module'), P.none, P.text('a.py'), P.text('')), 'Q')),
    },
  },
  PICKLE_STORAGE_KEY: {
    'PK18 a key that is a path': { tensors: state(row('../0', 6)) },
    'a view with a key that is none': {
      tensors: state(row('0', 6, 0, 6, tuple(P.int(1), P.int(0), P.int(6)))),
    },
  },
  PICKLE_VIEW: {
    'a view that is no tuple': { tensors: state(row('0', 6, 0, 6, P.text('1'))) },
    'a view of two': { tensors: state(row('0', 6, 0, 6, tuple(P.text('1'), P.int(0)))) },
  },
  PICKLE_TENSOR: {
    'a view with a negative offset': { tensors: state(row('0', 6, 0, 6, view('9', -1, 6))) },
    'a view with a negative length': { tensors: state(row('0', 6, 0, 6, view('9', 0, -6))) },
  },
  TORCH_BOUNDS: {
    'a view past the end': { tensors: state(row('0', 6, 0, 1, view('9', 5, 2)), row('1', 2)) },
    'a tensor past the end of a view': { tensors: state(row('0', 6, 0, 3, view('9', 2, 2)), row('1', 2)) },
  },
  TORCH_STORAGE_TYPE: {
    'a key for two views': {
      tensors: state(row('0', 6, 0, 2, view('9', 2, 2)), row('0', 6, 0, 2, view('9', 3, 2))),
    },
    'a key for a view and a storage': { tensors: state(row('0', 6, 0, 2, view('1', 2, 2)), row('1', 2)) },
    'a storage of two lengths': { tensors: state(row('0', 6), row('0', 5)) },
  },
  TORCH_LEGACY_KEYS: {
    'keys that are no list': { keys: tuple(P.text('0'), P.text('1')) },
    'a key that is a number': { keys: concat('](', P.int(0), P.int(1), 'e') },
    'a key twice': { keys: texts('0', '1', '0') },
    'a key of no tensor': { keys: texts('0', '1', '2') },
    'the key of a view': { tensors: state(row('0', 6, 0, 2, view('1', 2, 2))) },
  },
  TORCH_STORAGE_MISSING: { 'a key that is missing': { keys: texts('1') } },
  TORCH_STORAGE_SIZE: {
    'keys out of order': { keys: texts('1', '0') },
    'a count that is less': { storages: counted(5) },
    'a count that is more': { storages: counted(7) },
    'a negative count': { storages: counted(-6) },
    'a count of 2^63': { storages: counted(2n ** 63n) },
  },
  TORCH_LEGACY_TRUNCATED: {
    'a count that both lie about': {
      tensors: state(row('0', 6), row('1', 2 ** 30)),
      storages: counted(6, 2 ** 30),
    },
    'a storage that is missing': { keys: texts('0', '1'), storages: [[6, six]] },
  },
  TORCH_LEGACY_TRAILING: {
    'bytes after the last storage': { after: Uint8Array.of(0) },
    'a storage that nobody asked for': { after: new Uint8Array(8) },
  },
  TORCH_SHARING: {
    'PK21 five names for all values': {
      tensors: state(...Array.from({ length: 5 }, () => row('0', 6))),
      storages: [[6, six]],
    },
  },
  TORCH_EXPANDED: {
    'PK19 expanded by strides of 0': {
      tensors: state(tensor(legacyStorage('FloatStorage', '0', P.int(6)), P.int(0), sizes(7), sizes(0))),
      storages: [[6, six]],
    },
  },
}

describe('bytes without one meaning are refused', () => {
  const refused = Object.entries(refusedParts).flatMap(([code, cases]) =>
    Object.entries(cases).map(([what, parts]) => ({ what, code, parts })),
  )
  test.each(refused)('$what: $code', async ({ code, parts }) => {
    const error = await refusalOf(() => read(legacyFile({ ...plain, ...parts })))
    expect(error.code).toBe(code)
    expect(error.message).toContain(code.startsWith('PICKLE') ? 'at byte' : ':')
  })

  test('pickles that go on for more than 64 MB', async () => {
    const bytes = legacyFile({ tensors: concat('X', [0, 0, 0, 4], new Uint8Array(2 ** 26)) })
    expect((await refusalOf(() => read(bytes))).code).toBe('TORCH_LIMIT')
  })

  test('text of 4 GB is refused where the file ends', async () => {
    const bytes = legacyFile({ tensors: concat('X', [255, 255, 255, 255]) })
    expect((await refusalOf(() => read(bytes))).code).toBe('PICKLE_TRUNCATED')
  })
})

/** Calls os.system('id'). */
function attack(): Piece {
  return concat(P.global('os', 'system'), '(', P.text('id'), 'tR')
}

describe('damage', () => {
  const sample = legacyFile({
    ...plain,
    tensors: state(row('0', 6), row('0', 6, 1, 2, view('5', 2, 4)), row('1', 2)),
  })

  const prefixesAreRefused =
    (reader: Read) =>
    async (bytes: Uint8Array, step = 1): Promise<void> => {
      for (let length = 0; length < bytes.length; length += step)
        await refusalOf(() => reader(bytes.slice(0, length)))
    }

  test('every strict prefix is refused', () => prefixesAreRefused(read)(sample))

  law('of a real file too', { at: fc.nat() }, ({ at }) => {
    const file = golden('pytorch_model.legacy.bin')
    return refusalOf(() => read(file.slice(0, at % file.length))).then(() => true)
  })

  test('a mutant that fills truncated bytes with zeros is killed', async () => {
    const mutant: Read = (bytes) =>
      read(concat(bytes, new Uint8Array(Math.max(0, sample.length - bytes.length))))
    await expect(prefixesAreRefused(mutant)(sample)).rejects.toThrow('accepted')
  })

  const countsStart = sample.length - two.length - 8 - six.length - 8
  const keysStart = countsStart - pickle(texts('0', '1')).length
  const isValue = (index: number): boolean =>
    index >= sample.length - two.length || (index >= countsStart + 8 && index < countsStart + 8 + six.length)

  /**
   * No checksum guards a value, a name or a place, which may become another. The number at the start and the counts may
   * not, and the list of keys only to what reads the same; and whatever it is, a reader answers with tensors that this
   * file has room for, or an InputError.
   */
  const damageIsSeen = (reader: Read) => async (): Promise<void> => {
    const whole = await read(sample)
    for (let index = 0; index < sample.length; index++)
      for (const value of damagedValues(sample[index], scaledRuns(1) >= 10)) {
        const answer = await answerOf(() => reader(withByte(sample, index, value)))
        if (answer instanceof InputError) continue
        if (isValue(index)) expect(answer.tensors.length).toBe(whole.tensors.length)
        else if (index < 15 || index >= countsStart) throw new Error(`byte ${index} may be ${value}`)
        else if (index >= keysStart) expect(answer, `byte ${index}`).toEqual(whole)
        const bytes = answer.tensors.reduce((sum, { bytes: { length } }) => sum + length, 0)
        expect(bytes, `byte ${index}`).toBeLessThanOrEqual(4 * sample.length)
      }
  }

  test('any changed byte is refused, or changes a value, a name or a location', damageIsSeen(read))

  test.each(
    Object.entries<(bytes: Uint8Array) => Uint8Array>({
      'goes by the keys and overlooks the counts': (bytes) =>
        withPart(bytes, sample.length - two.length - 8, 8),
      'overlooks the number at the start': (bytes) => withPart(bytes, 0, 15),
    }),
  )('a mutant that %s is killed', async (_, repaired) => {
    await expect(damageIsSeen((bytes) => read(repaired(bytes)))()).rejects.toThrow('byte')
  })

  /** The bytes with a part of the sample put back. */
  function withPart(bytes: Uint8Array, start: number, length: number): Uint8Array {
    const changed = new Uint8Array(bytes)
    changed.set(sample.subarray(start, start + length), start)
    return changed
  }
})
