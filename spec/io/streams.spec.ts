/**
 * Tensors as streams: whatever format, type and length of part, the parts are whole rows that follow each other and
 * together the tensor; a file is read once for them, and damage is seen before the last part.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytesAsFile, type RangedFile } from '../../src/io/files.ts'
import { readSafetensors } from '../../src/io/safetensors.ts'
import { encodeSafetensors } from '../../src/io/safetensors_writer.ts'
import { readTorchCheckpoint } from '../../src/io/torch_checkpoint.ts'
import { elementSize } from '../../src/tensor/dtypes.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import {
  rowsOf,
  type RawTensorSource,
  type StoredRows,
  type TensorSource,
} from '../../src/tensor/tensor_source.ts'
import { kills, killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { joined } from '../../fixtures/hostile/bytes.ts'
import { refusalOf, streamedBytes, withByte } from './hostile.ts'
import { columnMajor, rowMajor, sampleOf, storageTypes, torchOf, type Sample } from './samples.ts'
import { dict, legacyFile, legacyStorage, P, sizes, tensor } from '../../fixtures/hostile/build_torch.ts'

const sample = sampleOf('F32', 'F16', 'I64', 'BOOL')

/** Every file that a sample can be in. */
const files: Readonly<Record<string, (sample: Sample) => Uint8Array>> = {
  safetensors: (given) => encodeSafetensors(new Map([['x', given]])),
  torch: (given) => torchOf(given, [0, 0]),
  'torch, part of a storage': (given) => torchOf(given, [3, 3]),
  'torch, a turned view': (given) => torchOf(given, [1, 1], columnMajor),
  'torch before 1.6': ({ dtype, shape, data }) => {
    const count = data.length / elementSize(dtype)
    const x = tensor(
      legacyStorage(storageTypes[dtype], '0', P.int(count)),
      P.int(0),
      sizes(...shape),
      sizes(...rowMajor(shape)),
    )
    return legacyFile({ tensors: dict([P.text('x'), x]), storages: [[count, data]] })
  },
}

const openFile = (file: RangedFile, form: string): Promise<RawTensorSource> =>
  form === 'safetensors' ? readSafetensors(file, form) : readTorchCheckpoint(file, form)

/** What is judged here. */
type Stream = (source: TensorSource, partLength: number) => AsyncIterable<StoredRows>
const real: Stream = (source, partLength) => source.stream('x', partLength)

const anyForm = fc.constantFrom(...Object.keys(files))
const length = fc.integer({ min: 1, max: 60 })

/** A stream with its parts changed. */
const changed = (change: (part: StoredRows, i: number) => StoredRows[]): Stream =>
  async function* (source, partLength) {
    let i = 0
    for await (const part of real(source, partLength)) yield* change(part, i++)
  }

describe('parts', () => {
  const partsAreTheTensor = lawForAll(
    'are whole rows in order, and together the tensor',
    { form: anyForm, given: sample, partLength: length },
    async (stream: Stream, { form, given, partLength }): Promise<void> => {
      const source = await openFile(bytesAsFile(files[form](given)), form)
      const { rows, columns } = rowsOf(given.shape)
      const rowLength = columns * elementSize(given.dtype)
      const parts: Uint8Array[] = []
      let next = 0
      for await (const { first, bytes } of stream(source, partLength)) {
        expect(first).toBe(next)
        expect(bytes.length).toBeGreaterThan(0)
        expect(bytes.length % rowLength, 'whole rows').toBe(0)
        expect(bytes.length).toBeLessThanOrEqual(Math.max(partLength, rowLength))
        next += bytes.length / rowLength
        parts.push(bytes.slice())
      }
      expect(next).toBe(rowLength === 0 ? 0 : rows)
      expect(joined(parts)).toEqual(await source.readRaw('x'))
    },
    { runs: 400 },
  )
  stateLaw(partsAreTheTensor, real)

  killsEach('a mutant is killed: %s', partsAreTheTensor, {
    'the second part is left out': changed((part, i) => (i === 1 ? [] : [part])),
    'every part is said to be the first': changed((part) => [{ ...part, first: 0 }]),
    'parts of one byte': changed(({ first, bytes }) =>
      [...bytes].map((byte) => ({ first, bytes: Uint8Array.of(byte) })),
    ),
    'everything at once': (source) => real(source, 1e9),
    'bytes in another order': changed(({ first, bytes }) => [{ first, bytes: bytes.toReversed() }]),
  })

  test('of a tensor in memory are its numbers', async () => {
    const values = Float32Array.from({ length: 12 }, (_, i) => i)
    const source = memorySource(new Map([['x', { shape: [4, 3], values: values.subarray(0) }]]))
    expect(await streamedBytes(source, 'x', 24)).toEqual(new Uint8Array(values.buffer))
  })
})

const matrix: Sample = { dtype: 'F32', shape: [6, 2], data: Uint8Array.from({ length: 48 }, (_, i) => i) }

/** A file as a stream reads it: how many bytes of values it took. */
async function bytesStreamed(form: string, stream: Stream): Promise<number> {
  let bytesRead = 0
  const file = bytesAsFile(files[form](matrix))
  const source = await openFile(
    { ...file, read: (offset, count) => ((bytesRead += count), file.read(offset, count)) },
    form,
  )
  bytesRead = 0
  for await (const _ of stream(source, 16));
  return bytesRead
}

describe('a file is read once', () => {
  test.each(['safetensors', 'torch', 'torch before 1.6'])('%s', async (form) => {
    expect(await bytesStreamed(form, real)).toBe(48)
  })

  test('except for a part of a storage, whose checksum covers all of it', async () => {
    expect(await bytesStreamed('torch, part of a storage', real)).toBe(48 + 2 * 12 + 48)
  })

  test('a mutant that checks it first is killed', async () => {
    const mutant: Stream = async function* (source, partLength) {
      await source.readRows('x', 0, 0)
      yield* real(source, partLength)
    }
    expect(await bytesStreamed('torch', mutant)).toBe(96)
  })
})

describe('damage', () => {
  const damageIsSeen = lawForAll(
    'ZP09 a changed byte is found before the last part',
    { form: fc.constantFrom('torch', 'torch, part of a storage'), place: fc.nat(), partLength: length },
    async (stream: Stream, { form, place, partLength }): Promise<void> => {
      const bytes = files[form](matrix)
      const at = bytes.findIndex((_, i) => matrix.data.every((byte, j) => bytes[i + j] === byte))
      const broken = withByte(bytes, at + (place % 48), 0xff)
      let seen = 0
      const error = await refusalOf(async () => {
        for await (const part of stream(await openFile(bytesAsFile(broken), form), partLength))
          seen += part.bytes.length
      })
      expect(error.code).toBe('ZIP_CRC')
      expect(seen).toBeLessThan(48)
    },
  )
  stateLaw(damageIsSeen, real)

  test('a mutant that does not wait for the last part is killed', () =>
    kills(damageIsSeen, async function* (source, partLength) {
      try {
        yield* real(source, partLength)
      } catch {
        // Nothing is said.
      }
    }))

  test('a tensor that is not there', async () => {
    const source = await openFile(bytesAsFile(files.torch(matrix)), 'torch')
    expect((await refusalOf(() => streamedBytes(source, '__proto__', 8))).code).toBe('TENSOR_MISSING')
  })
})
