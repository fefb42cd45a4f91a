/**
 * Loading by ranges: however a parameter is cut into rows on its way, what a backend holds is what is stored; no more of it
 * is read at a time than a chunk; what is seen of a tensor on the way counts for all of it.
 *
 * Tests src/engine/storages/ and src/engine/weight_layout.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeFloats, elementSize, quantizeRows } from '../../src/tensor/dtypes.ts'
import { narrowToBf16, narrowToF16 } from '../../src/tensor/halves.ts'
import type { Buffer } from '../../src/backends/backend.ts'
import { valuesOf } from '../../src/backends/calls.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import { loadParameter } from '../../src/engine/weight_layout.ts'
import { storageNamed, storages, type Matrix, type Storage } from '../../src/engine/storages/index.ts'
import type { RowChunk, StorageRecord } from '../../src/engine/storages/storage.ts'
import type { Numbers } from '../../src/ops/op.ts'
import { WeightReader, type LoadOptions } from '../../src/engine/weight_reader.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { blocksOf, interleaveRows, quantizeBlocks, turnBlocks } from '../../src/tensor/int4.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import type { TensorSource } from '../../src/tensor/tensor_source.ts'
import { overBackends } from '../harness/backends.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

const tokenTable = 'model.decoder.embed_tokens.weight'

/** How numbers come that the file has in the storage they are wanted in, or that it has not. */
type Coming = 'as stored' | 'as float32'

/** The storages whose arrays are stated here; any other is judged by what is read back (storages.spec.ts). */
const laidOut = ['f32', 'bf16', 'f16', 'int8', 'int4'] as const
type LaidOut = (typeof laidOut)[number]

/** A parameter in any storage. */
function loadAny(
  scope: BufferScope,
  isTurned: boolean,
  shape: readonly number[],
  storage: Storage,
  chunks: AsyncIterable<RowChunk>,
): Promise<Matrix> {
  const parameter = { name: 'a matrix', shape, layer: 1, isTurned, isPositions: false }
  return loadParameter(scope, parameter, storageNamed(storage), chunks)
}

/** Rows of a matrix whose numbers are their places, cut into chunks. */
async function* chunksOf(
  [O, I]: readonly number[],
  cuts: readonly number[],
  storage: LaidOut,
  coming: Coming,
): AsyncGenerator<RowChunk> {
  const ends = [...new Set([...cuts.map((cut) => cut % O), O])].filter((end) => end > 0)
  let first = 0
  for (const end of ends.toSorted((a, b) => a - b)) {
    const values = Float32Array.from({ length: (end - first) * I }, (_, i) => first * I + i)
    const isHalf = coming === 'as stored' && (storage === 'f16' || storage === 'bf16')
    yield {
      start: first * I,
      values: isHalf ? (storedAs(storage, values, [end - first, I]).values as Uint16Array) : values,
    }
    first = end
  }
}

overBackends((backend) => {
  const size = fc.integer({ min: 1, max: 9 })
  const heldIsStored = lawForAll(
    'what is held is what is stored, however its rows are cut',
    {
      isTurned: fc.boolean(),
      O: size,
      I: size,
      cuts: fc.array(fc.nat(8), { maxLength: 3 }),
      storage: fc.constantFrom(...laidOut),
      coming: fc.constantFrom<Coming>('as stored', 'as float32'),
    },
    async (load: typeof loadAny, { isTurned, O, I, cuts, storage, coming }) => {
      const scope = new BufferScope(backend)
      try {
        const before = backend.liveBuffers
        const held = await load(scope, isTurned, [O, I], storage, chunksOf([O, I], cuts, storage, coming))
        const expected = partsAsHeld(storage, [O, I], isTurned)
        expect(backend.liveBuffers - before, 'buffers made').toBe(expected.length)
        const parts = 'values' in held ? (Object.values(held) as Buffer[]) : [held]
        expect(parts.map((part) => backend.read(part))).toEqual(expected)
      } finally {
        scope.dispose()
      }
    },
  )
  stateLaw(heldIsStored, loadAny)

  killsEach('a mutant is killed: %s', heldIsStored, {
    'every chunk at the start': (scope, name, shape, storage, chunks) => {
      const wrong = mapChunks(chunks, (chunk) => ({ ...chunk, start: 0 }))
      return loadAny(scope, name, shape, storage, wrong)
    },
    'nothing is turned': (scope, _, shape, storage, chunks) => loadAny(scope, false, shape, storage, chunks),
    'turned the other way': (scope, name, [O, I], storage, chunks) =>
      loadAny(scope, name, [I, O], storage, chunks),
    'the storage is forgotten': (scope, name, shape, _, chunks) => loadAny(scope, name, shape, 'f32', chunks),
    'what waits to be turned is kept': async (scope, name, shape, storage, chunks) => {
      const held = await loadAny(scope, name, shape, storage, chunks)
      scope.allocate('f32', valuesOf(held).shape)
      return held
    },
  })
})

/** The arrays of a matrix [O, I] whose numbers are their places, as it is held. */
function partsAsHeld(storage: LaidOut, [O, I]: readonly [number, number], isTurned: boolean): Numbers[] {
  const places = Float32Array.from({ length: O * I }, (_, i) => i)
  if (storage === 'int4') {
    const words = quantizeBlocks(places, O, I)
    if (!isTurned) return [interleaveRows(words, O, blocksOf(I))]
    const { values, scales } = turnBlocks(words, O, I)
    return [values, scales, Int32Array.from({ length: I }, (_, i) => i >> 5)]
  }
  const turned = places.map((i) => (isTurned ? (i % O) * I + Math.floor(i / O) : i))
  const { values, scales } = storedAs(storage, turned, isTurned ? [I, O] : [O, I])
  return scales ? [values, scales] : [values]
}

/** Numbers as a storage holds them. */
function storedAs(
  storage: Exclude<LaidOut, 'int4'>,
  values: Float32Array,
  [rows, columns]: readonly [number, number],
): { values: Numbers; scales: Float32Array | null } {
  if (storage === 'int8') return quantizeRows(values, rows, columns)
  const narrow = { f32: (x: Float32Array) => x, bf16: narrowToBf16, f16: narrowToF16 }[storage]
  return { values: narrow(values), scales: null }
}

async function* mapChunks(
  chunks: AsyncIterable<RowChunk>,
  change: (chunk: RowChunk) => RowChunk,
): AsyncGenerator<RowChunk> {
  for await (const chunk of chunks) yield change(chunk)
}

/** What may pass through the host at a time. */
const CHUNK_BYTES = 2 * 2 ** 20

/** A source of one tensor, as the token table, that is streamed only; what came of it is noted. */
function sourceOf(
  shape: readonly number[],
  values: Float32Array,
): { source: TensorSource; came: { first: number; count: number }[] } {
  const came: { first: number; count: number }[] = []
  const source = memorySource(new Map([['table', { shape, values }]]))
  const whole = (): Promise<never> => Promise.reject(new Error('more than a stream was read'))
  const stream: TensorSource['stream'] = async function* (name, partLength) {
    for await (const part of source.stream(name, partLength)) {
      came.push({ first: part.first, count: part.bytes.length / (4 * shape[1]) })
      yield part
    }
  }
  return { source: { ...source, read: whole, readRows: whole, stream }, came }
}

const float32 = storageNamed('f32')
/** All rows of a tensor. */
const whole = new Map([[tokenTable, { name: 'table', first: 0, rows: Infinity }]])
const reader = (source: TensorSource, options: LoadOptions = {}): WeightReader =>
  new WeightReader(source, whole, options)

describe('a tensor of many chunks', () => {
  const shape = [130_000, 7] // 3.6 MB
  const rows = 74_898 // floor(2^21 / 28)
  const values = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => i)

  test('is read once, in order, never more than 2 MiB at a time', async () => {
    const { source, came } = sourceOf(shape, values)
    let next = 0
    for await (const { start, values: part } of reader(source).chunks(tokenTable, float32)) {
      expect(start).toBe(next)
      expect(part.byteLength).toBeLessThanOrEqual(CHUNK_BYTES)
      sameBits('rows', part as Float32Array, values.subarray(start, start + part.length))
      next += part.length
    }
    expect(next).toBe(values.length)
    expect(came).toEqual([
      { first: 0, count: rows },
      { first: rows, count: 130_000 - rows },
    ])
  })

  test('is counted chunk by chunk, once the chunk was taken', async () => {
    const seen: number[] = []
    const { source } = sourceOf(shape, values)
    const onProgress: LoadOptions['onProgress'] = ({ loadedBytes, totalBytes, name }) => {
      expect([totalBytes, name]).toEqual([values.byteLength, 'table'])
      seen.push(loadedBytes)
    }
    const chunks = reader(source, { onProgress }).chunks(tokenTable, float32)
    await chunks.next()
    expect(seen).toEqual([])
    await chunks.next()
    expect(seen).toEqual([rows * 7 * 4])
    await chunks.next()
    expect(seen).toEqual([rows * 7 * 4, values.byteLength])
  })

  test('is counted as the file has it, where it is stored in blocks', async () => {
    const stored = { type: 'Q4_1', byteLength: values.length / 2 }
    const { source } = sourceOf(shape, values)
    const tensors = new Map([...source.tensors].map(([name, info]) => [name, { ...info, stored }]))
    const seen: number[][] = []
    const onProgress: LoadOptions['onProgress'] = (told) => seen.push([told.loadedBytes, told.totalBytes])
    for await (const _ of reader({ ...source, tensors }, { onProgress }).chunks(tokenTable, float32));
    expect(seen).toEqual([
      [rows * 3.5, stored.byteLength],
      [stored.byteLength, stored.byteLength],
    ])
  })

  test('can be left between two chunks', async () => {
    const stop = new AbortController()
    const { source } = sourceOf(shape, values)
    const chunks = reader(source, { signal: stop.signal }).chunks(tokenTable, float32)
    await chunks.next()
    stop.abort(new Error('enough'))
    await expect(chunks.next()).rejects.toThrow('enough')
  })

  test('is refused for a number in any of them, by its place in the tensor', async () => {
    const broken = values.slice()
    broken[700_000] = NaN
    const all = async (options: LoadOptions): Promise<void> => {
      const chunks = reader(sourceOf(shape, broken).source, options).chunks(tokenTable, float32)
      for await (const _ of chunks);
    }
    const error: unknown = await all({}).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(InputError)
    expect(error).toMatchObject({
      code: 'WEIGHT_NOT_FINITE',
      message: 'table[700000]: expected a finite number, got NaN',
    })
    await all({ allowNonFinite: true })
  })
})

test('a row that is longer than a chunk is one', async () => {
  const length = 2 ** 19 + 1
  const { source, came } = sourceOf([2, length], new Float32Array(2 * length))
  for await (const { values: part } of reader(source).chunks(tokenTable, float32))
    expect(part.length).toBe(length)
  expect(came).toEqual([
    { first: 0, count: 1 },
    { first: 1, count: 1 },
  ])
})

test('blocks come as the file has them where the storage has such blocks, and as numbers elsewhere', async () => {
  const numbers = Float32Array.from({ length: 64 }, (_, i) => i % 7)
  const words = quantizeBlocks(numbers, 2, 32)
  const info = { name: 'table', dtype: 'F32', shape: [2, 32], byteLength: 256 } as const
  const asked: string[] = []
  const source: TensorSource = {
    ...memorySource(new Map()),
    tensors: new Map([['table', info]]),
    async *streamBlocks(_, type) {
      asked.push(type)
      yield { first: 0, bytes: new Uint8Array(words.buffer) }
    },
    async *stream() {
      asked.push('numbers')
      yield { first: 0, bytes: new Uint8Array(numbers.buffer) }
    },
  }
  const read = async (storage: Storage): Promise<RowChunk['values'][]> => {
    const parts = []
    for await (const { values } of reader(source).chunks(tokenTable, storageNamed(storage)))
      parts.push(values)
    return parts
  }
  expect(await read('int4')).toEqual([words])
  expect(await read('int8')).toEqual([numbers])
  expect(asked).toEqual(['Q4_1', 'numbers'])
})

describe('numbers of a file', () => {
  const dtypes = ['F64', 'F32', 'F16', 'BF16'] as const
  /** The element type of a file whose numbers a storage takes as they are. */
  const same: Readonly<Partial<Record<Storage, string>>> = { f32: 'F32', f16: 'F16', bf16: 'BF16' }
  type Chunks = WeightReader['chunks']
  /** Another storage in place of one. */
  const instead = (of: Storage, other: Storage) => (storage: StorageRecord) =>
    storage.name === of ? storageNamed(other) : storage

  const comeAsTheyAre = lawForAll(
    'come bit for bit where they are wanted so, else as float32; the first not finite is named',
    {
      dtype: fc.constantFrom(...dtypes),
      storage: fc.constantFrom(...storages),
      data: fc
        .uint8Array({ maxLength: 60 })
        .map((bytes) => bytes.map((byte) => (byte % 5 === 0 ? byte : byte & 0x3b))),
      shift: fc.nat(8),
      allowNonFinite: fc.boolean(),
    },
    async (
      change: (chunks: Chunks) => Chunks,
      { dtype, storage, data, shift, allowNonFinite },
    ): Promise<void> => {
      const size = elementSize(dtype)
      const bytes = data.slice(0, data.length - (data.length % size))
      const length = bytes.length / size
      const info = { name: 'table', dtype, shape: [length], byteLength: bytes.length }
      const source: TensorSource = {
        ...memorySource(new Map()),
        tensors: new Map([['table', info]]),
        streamBlocks: () => null,
        async *stream() {
          const place = new Uint8Array(shift + bytes.length) // at any address
          place.set(bytes, shift)
          if (length > 0) yield { first: 0, bytes: place.subarray(shift) }
        },
      }
      const expected = decodeFloats(dtype, bytes, 'table')
      const bad = expected.findIndex((value) => !Number.isFinite(value))
      const one = new WeightReader(source, whole, { allowNonFinite })
      const read = async (): Promise<RowChunk['values'][]> => {
        const parts = []
        for await (const { values } of change(one.chunks.bind(one))(tokenTable, storageNamed(storage)))
          parts.push(values)
        return parts
      }
      if (bad >= 0 && !allowNonFinite) {
        const error = `table[${bad}]: expected a finite number, got ${expected[bad]}`
        await expect(read()).rejects.toMatchObject({ code: 'WEIGHT_NOT_FINITE', message: error })
        return
      }
      const limit = storageNamed(storage).infiniteFrom
      const isAsStored = dtype === same[storage] && shift % 2 === 0
      const past = isAsStored ? -1 : expected.findIndex((value) => Math.abs(value) >= limit)
      if (past >= 0 && !allowNonFinite) {
        const error = `table[${past}]: expected a number below ${limit} in size to be stored as ${storage}, got ${expected[past]}`
        await expect(read()).rejects.toMatchObject({ code: 'WEIGHT_RANGE', message: error })
        return
      }
      const [values] = await read()
      if (length === 0) return expect(values).toBe(undefined)
      if (dtype === same[storage] && dtype !== 'F32' && shift % 2 === 0)
        expect(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)).toEqual(bytes)
      else sameBits('values', values as Float32Array, expected)
    },
    { runs: 500 },
  )
  stateLaw(comeAsTheyAre, (chunks) => chunks)

  killsEach('a mutant is killed: %s', comeAsTheyAre, {
    'f16 where bf16 is wanted': (chunks) => (name, storage) => chunks(name, instead('bf16', 'f16')(storage)),
    'always float32': (chunks) => (name) => chunks(name, storageNamed('int8')),
    'numbers past the range of int4': (chunks) => (name, storage) =>
      chunks(name, instead('int4', 'int8')(storage)),
  })
})
