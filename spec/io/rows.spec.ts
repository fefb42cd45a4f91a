/**
 * Parts of tensors. Rows are what the whole tensor has there, whatever format, element type, split and order they are
 * read in; nothing else is read for them; and a file that would be refused whole is refused in parts.
 *
 * Tests src/tensor/concatenate.ts, src/tensor/memory_source.ts and src/tensor/stored_source.ts.
 */
import { appendFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytesAsFile, type RangedFile } from '../../src/io/files.ts'
import { openSafetensors, readSafetensors } from '../../src/io/safetensors.ts'
import { encodeSafetensors } from '../../src/io/safetensors_writer.ts'
import { openShards } from '../../src/io/shard_index.ts'
import { openTorchCheckpoint, readTorchCheckpoint } from '../../src/io/torch_checkpoint.ts'
import { decodeFloats, elementSize } from '../../src/tensor/dtypes.ts'
import { UsageError } from '../../src/tensor/errors.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { rowsOf, type TensorInfo, type TensorSource } from '../../src/tensor/tensor_source.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { kills, killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { refusalOf, withByte } from './hostile.ts'
import { columnMajor, sampleOf, torchOf, type Sample } from './samples.ts'
import { dict, P, pickle, sizes, storage, tensor, torchFile } from '../../fixtures/hostile/build_torch.ts'

const folder = temporaryFolder()

const sample = sampleOf('F64', 'F32', 'F16', 'BF16')

/** A file in memory that counts what is read of it. */
class CountedFile implements RangedFile {
  readonly #file: RangedFile
  bytesRead = 0

  constructor(bytes: Uint8Array) {
    this.#file = bytesAsFile(bytes)
  }

  get size(): number {
    return this.#file.size
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#file.read(offset, length)
    this.bytesRead += bytes.length
    return bytes
  }

  changed = async (): Promise<boolean> => false
  close = async (): Promise<void> => {}
}

/** An opened sample and the files behind it. */
interface Opened {
  readonly source: TensorSource
  readonly files: readonly CountedFile[]
}

/** A safetensors file that has other values before and after those of "x". */
function safetensorsOf({ dtype, shape, data }: Sample): Uint8Array {
  const other = { dtype, shape: [3], data: new Uint8Array(3 * elementSize(dtype)).fill(0x55) }
  return encodeSafetensors(
    new Map([
      ['w', other],
      ['x', { dtype, shape, data }],
      ['y', other],
    ]),
  )
}

/** What stands around the values of "x" in its storage. */
const around = [3, 2] as const

/** Every form a sample can be read from. */
const forms: Readonly<Record<string, (sample: Sample) => Promise<Opened>>> = {
  memory: async ({ dtype, shape, data }) => {
    const values = decodeFloats(dtype, data, 'x')
    return { source: memorySource(new Map([['x', { shape, values }]])), files: [] }
  },
  safetensors: async (given) => {
    const file = new CountedFile(safetensorsOf(given))
    return { source: await readSafetensors(file, 'model.safetensors'), files: [file] }
  },
  shards: async (given) => {
    const one = new CountedFile(
      encodeSafetensors(new Map([['v', { dtype: 'U8', shape: [1], data: Uint8Array.of(1) }]])),
    )
    const two = new CountedFile(safetensorsOf(given))
    writeFileSync(join(folder, '1.safetensors'), '')
    writeFileSync(join(folder, '2.safetensors'), '')
    const index = join(folder, 'model.safetensors.index.json')
    const [first, second] = ['1.safetensors', '2.safetensors']
    writeFileSync(index, JSON.stringify({ weight_map: { v: first, w: second, x: second, y: second } }))
    const source = await openShards(index, '.safetensors', (path) =>
      readSafetensors(path.endsWith(first) ? one : two, path),
    )
    return { source, files: [one, two] }
  },
  torch: async (given) => {
    const file = new CountedFile(torchOf(given, around))
    return { source: await readTorchCheckpoint(file, 'pytorch_model.bin'), files: [file] }
  },
  'torch, a turned view': async (given) => {
    const file = new CountedFile(torchOf(given, around, columnMajor))
    return { source: await readTorchCheckpoint(file, 'pytorch_model.bin'), files: [file] }
  },
}
const formNames = Object.keys(forms)

/** What is judged here: some rows of "x". */
type ReadRows = (source: TensorSource, first: number, count: number) => Promise<Float32Array>

const real: ReadRows = (source, first, count) => source.readRows('x', first, count)

const infoOf = (source: TensorSource): TensorInfo => source.tensors.get('x') as TensorInfo

/** Where to cut, and by what to sort the parts. */
interface Cuts {
  readonly at: readonly number[]
  readonly keys: readonly number[]
}

const cuts: fc.Arbitrary<Cuts> = fc.record({
  at: fc.array(fc.nat(), { maxLength: 4 }),
  keys: fc.array(fc.nat(9), { minLength: 5, maxLength: 5 }),
})

/** Parts that cover all rows, some of them empty, in any order. */
function partsOf(rows: number, { at, keys }: Cuts): { first: number; count: number }[] {
  const ends = [...at.map((place) => place % (rows + 1)), rows].toSorted((a, b) => a - b)
  return ends
    .map((end, i) => ({ first: ends[i - 1] ?? 0, count: end - (ends[i - 1] ?? 0), key: keys[i] }))
    .toSorted((a, b) => a.key - b.key)
}

const anyForm = fc.constantFrom(...formNames)
/** Formats in which the rows of a tensor are contiguous. */
const pieceForm = fc.constantFrom('safetensors', 'shards', 'torch')

const rowsAreThoseOfTheWhole = lawForAll(
  'together are the tensor',
  { form: anyForm, given: sample, cut: cuts },
  async (readRows: ReadRows, { form, given, cut }) => {
    const { source } = await forms[form](given)
    const { rows, columns } = rowsOf(given.shape)
    const together = new Float32Array(rows * columns).fill(0.5)
    for (const { first, count } of partsOf(rows, cut)) {
      const part = await readRows(source, first, count)
      if (part.length !== count * columns)
        throw new Error(`rows: expected ${count}, got ${part.length} numbers`)
      together.set(part, first * columns)
    }
    sameBits('rows', together, await source.read('x'))
  },
  { runs: 400 },
)

/** What of the file is read for rows, once the checksum of a torch storage is known to be right. */
const nothingElseIsRead = lawForAll(
  'are all that is read for them',
  { form: pieceForm, given: sample, a: fc.nat(), b: fc.nat() },
  async (readRows: ReadRows, { form, given, a, b }) => {
    const { source, files } = await forms[form](given)
    if (form === 'torch') await source.readRows('x', 0, 0)
    const counted = (): number => files.reduce((sum, { bytesRead }) => sum + bytesRead, 0)
    const before = counted()
    const { rows, columns } = rowsOf(given.shape)
    const [first, end] = [a % (rows + 1), b % (rows + 1)].toSorted((x, y) => x - y)
    await readRows(source, first, end - first)
    expect(counted() - before).toBe((end - first) * columns * elementSize(given.dtype))
  },
  { runs: 200 },
)

describe('rows', () => {
  stateLaw(rowsAreThoseOfTheWhole, real)
  stateLaw(nothingElseIsRead, real)

  test('of a torch file are read after one pass over their storage, which is not repeated', async () => {
    const given: Sample = { dtype: 'F32', shape: [6, 2], data: new Uint8Array(48) }
    const { source, files } = await forms.torch(given)
    const opened = files[0].bytesRead
    await source.readRows('x', 1, 2)
    expect(files[0].bytesRead - opened).toBe(16 + 48 + 5 * 4)
    await source.readRows('x', 1, 2)
    expect(files[0].bytesRead - opened).toBe(16 + 48 + 5 * 4 + 16)
  })
})

describe('mutants are killed', () => {
  killsEach('%s', rowsAreThoseOfTheWhole, {
    'one row further on': (source, first, count) =>
      source.readRows('x', Math.min(first + 1, rowsOf(infoOf(source).shape).rows - count), count),
    'one row less, and zeros': async (source, first, count) => {
      const { columns } = rowsOf(infoOf(source).shape)
      const values = new Float32Array(count * columns)
      values.set(await source.readRows('x', first, Math.max(0, count - 1)))
      return values
    },
    'elements of four bytes, whatever their type': async (source, first, count) => {
      const { dtype, shape } = infoOf(source)
      const skipped = Math.floor((first * rowsOf(shape).columns * 4) / elementSize(dtype))
      return (await source.read('x')).slice(skipped, skipped + count * rowsOf(shape).columns)
    },
    'rows as long as the last dimension': async (source, first, count) => {
      const { shape } = infoOf(source)
      const columns = shape.length > 1 ? (shape.at(-1) as number) : 1
      return (await source.read('x')).slice(first * columns, first * columns + count * rowsOf(shape).columns)
    },
  })

  test('the whole tensor, cut afterwards', async () => {
    const mutant: ReadRows = async (source, first, count) => {
      const { columns } = rowsOf(infoOf(source).shape)
      return (await source.read('x')).subarray(first * columns, (first + count) * columns)
    }
    await rowsAreThoseOfTheWhole.predicate(mutant, {
      form: 'safetensors',
      given: matrix,
      cut: { at: [1], keys: [2, 1] },
    })
    await kills(nothingElseIsRead, mutant)
  })
})

const matrix: Sample = {
  dtype: 'F32',
  shape: [4, 3],
  data: new Uint8Array(Float32Array.from({ length: 12 }, (_, i) => i).buffer),
}

describe.each(formNames)('refusals: %s', (form) => {
  test.each([
    [0, 5],
    [4, 1],
    [5, 0],
    [-1, 1],
    [1, -1],
    [0.5, 1],
    [0, 0.5],
    [NaN, 1],
    [0, NaN],
    [0, Infinity],
    [2 ** 53, 1],
  ])('rows %d + %d of 4', async (first, count) => {
    const { source } = await forms[form](matrix)
    const error: unknown = await source.readRows('x', first, count).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(UsageError)
    expect(error).toMatchObject({ code: 'ROW_RANGE', tensor: 'x' })
    expect((error as UsageError).message).toBe(`x: expected rows inside 0..4, got ${first}..${first + count}`)
  })

  test('a tensor that is not there', async () => {
    const { source } = await forms[form](matrix)
    expect((await refusalOf(() => source.readRows('z', 0, 9))).code).toBe('TENSOR_MISSING')
    expect((await refusalOf(() => source.readRows('__proto__', 0, 0))).code).toBe('TENSOR_MISSING')
  })
})

describe('hostile files', () => {
  test('rows of floats of an integer tensor are refused before reading', async () => {
    const data = new Uint8Array(16)
    const one = new CountedFile(encodeSafetensors(new Map([['x', { dtype: 'I32', shape: [4], data }]])))
    const ints = tensor(storage('IntStorage', '0', P.int(4)), P.int(0), sizes(4), sizes(1))
    const two = new CountedFile(torchFile(pickle(dict([P.text('x'), ints])), { 0: data }).bytes)
    for (const [file, source] of [
      [one, await readSafetensors(one, 'a')],
      [two, await readTorchCheckpoint(two, 'b')],
    ] as const) {
      const before = file.bytesRead
      expect((await refusalOf(() => source.readRows('x', 0, 1))).code).toBe('DTYPE')
      expect(file.bytesRead).toBe(before)
    }
  })

  test.each([
    ['safetensors', safetensorsOf, openSafetensors],
    ['torch', (given: Sample) => torchOf(given, around), openTorchCheckpoint],
  ] as const)('ST25 a file that is cut or written to after its header: %s', async (_, encode, open) => {
    const path = join(folder, 'changing')
    const bytes = encode(matrix)
    for (const change of [
      () => truncateSync(path, 100),
      () => truncateSync(path, bytes.length - 1),
      () => appendFileSync(path, 'x'),
    ]) {
      writeFileSync(path, bytes)
      const source = await open(path)
      expect(await source.readRows('x', 1, 1)).toEqual(Float32Array.of(3, 4, 5))
      change()
      expect((await refusalOf(() => source.readRows('x', 2, 1))).code).toBe('FILE_CHANGED')
      expect((await refusalOf(() => source.read('x'))).code).toBe('FILE_CHANGED')
      await source.close()
    }
  })

  const damageIsSeen = lawForAll(
    'ZP09 a changed byte of a storage is found for any rows',
    { place: fc.nat(), a: fc.nat(4), b: fc.nat(4) },
    async (readRows: ReadRows, { place, a, b }): Promise<void> => {
      const bytes = torchOf(matrix, around)
      const start = bytes.findIndex((_, i) => bytes.subarray(i, i + 12).every((byte) => byte === 0x55))
      const at = start + (place % (12 + 48 + 8))
      const source = await readTorchCheckpoint(bytesAsFile(withByte(bytes, at, bytes[at] ^ 1)), 'b')
      const [first, end] = [a, b].toSorted((x, y) => x - y)
      for (let attempt = 0; attempt < 2; attempt++)
        expect((await refusalOf(() => readRows(source, first, end - first))).code).toBe('ZIP_CRC')
    },
  )
  stateLaw(damageIsSeen, real)

  test('a mutant that checks only at the last row is killed', () =>
    kills(damageIsSeen, async (source, first, count) =>
      first + count === 4 ? source.readRows('x', first, count) : new Float32Array(3 * count),
    ))
})
