/**
 * Loading by ranges: however a parameter is cut into rows on its way, what a backend holds is what is stored; no more of it
 * is read at a time than a chunk; what is seen of a tensor on the way counts for all of it.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { narrowToBf16, narrowToF16, quantizeRows } from '../../src/tensor/dtypes.ts'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import { loadParameter } from '../../src/model/opt/held_parameters.ts'
import { storages, type Storage } from '../../src/model/opt/matrix.ts'
import type { Numbers } from '../../src/ops/op.ts'
import { moduleName, names } from '../../src/model/opt/names.ts'
import { WeightReader, type LoadOptions, type RowChunk } from '../../src/model/opt/weight_reader.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import type { TensorSource } from '../../src/tensor/tensor_source.ts'
import { overBackends } from '../harness/backends.ts'
import { sameBits } from '../harness/compare.ts'
import { checkLaw, law } from '../harness/seed.ts'

const turnedModules = ['out', 'fc2'] as const
const plainModules = ['query', 'fc1'] as const

/** Rows of a matrix whose numbers are their places, cut into chunks. */
async function* chunksOf([O, I]: readonly number[], cuts: readonly number[]): AsyncGenerator<RowChunk> {
  const ends = [...new Set([...cuts.map((cut) => cut % O), O])].filter((end) => end > 0)
  let first = 0
  for (const end of ends.toSorted((a, b) => a - b)) {
    yield {
      start: first * I,
      values: Float32Array.from({ length: (end - first) * I }, (_, i) => first * I + i),
    }
    first = end
  }
}

overBackends((backend) => {
  const size = fc.integer({ min: 1, max: 9 })
  const arbitraries = [
    fc.constantFrom(...turnedModules, ...plainModules),
    fc.tuple(size, size),
    fc.array(fc.nat(8), { maxLength: 3 }),
    fc.constantFrom(...storages),
  ] as [
    fc.Arbitrary<'out' | 'fc2' | 'query' | 'fc1'>,
    fc.Arbitrary<[number, number]>,
    fc.Arbitrary<number[]>,
    fc.Arbitrary<Storage>,
  ]

  const heldIsStored =
    (load: typeof loadParameter) =>
    async (
      module: 'out' | 'fc2' | 'query' | 'fc1',
      [O, I]: [number, number],
      cuts: number[],
      storage: Storage,
    ) => {
      const scope = new BufferScope(backend)
      try {
        const before = backend.liveBuffers
        const name = `${moduleName(1, module)}.weight`
        const { weight, scales } = await load(scope, name, [O, I], storage, chunksOf([O, I], cuts))
        expect(backend.liveBuffers - before, 'buffers made').toBe(storage === 'int8' ? 2 : 1)
        const isTurned = module === 'out' || module === 'fc2'
        const expected = Float32Array.from({ length: O * I }, (_, i) =>
          isTurned ? (i % O) * I + Math.floor(i / O) : i,
        )
        const stored = storedAs(storage, expected, isTurned ? [I, O] : [O, I])
        expect(backend.read(weight)).toEqual(stored.values)
        expect(scales && backend.readF32(scales)).toEqual(stored.scales)
      } finally {
        scope.dispose()
      }
    }

  law('what is held is what is stored, however its rows are cut', arbitraries, heldIsStored(loadParameter))

  test.each<[string, typeof loadParameter]>([
    [
      'every chunk at the start',
      (scope, name, shape, storage, chunks) =>
        loadParameter(
          scope,
          name,
          shape,
          storage,
          mapChunks(chunks, (chunk) => ({ ...chunk, start: 0 })),
        ),
    ],
    [
      'nothing is turned',
      (scope, _, shape, storage, chunks) =>
        loadParameter(scope, `${moduleName(1, 'key')}.weight`, shape, storage, chunks),
    ],
    [
      'turned the other way',
      (scope, name, [O, I], storage, chunks) => loadParameter(scope, name, [I, O], storage, chunks),
    ],
    [
      'the storage is forgotten',
      (scope, name, shape, _, chunks) => loadParameter(scope, name, shape, 'f32', chunks),
    ],
    [
      'what waits to be turned is kept',
      async (scope, name, shape, storage, chunks) => {
        const held = await loadParameter(scope, name, shape, storage, chunks)
        scope.allocate(held.weight.length)
        return held
      },
    ],
  ])('a mutant is killed: %s', async (_, mutant) => {
    const check = checkLaw('mutant', arbitraries, heldIsStored(mutant), { record: false })
    await expect(check).rejects.toThrow('Counterexample')
  })
})

/** Numbers as a storage holds them. */
function storedAs(
  storage: Storage,
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
const CHUNK_BYTES = 8 * 2 ** 20

/** A source of one tensor, as the token table, that is read by rows only; what was asked for is noted. */
function sourceOf(
  shape: readonly number[],
  values: Float32Array,
): { source: TensorSource; asked: { first: number; count: number }[] } {
  const asked: { first: number; count: number }[] = []
  const source = memorySource(new Map([['table', { shape, values }]]))
  const { readRows } = source
  source.read = () => Promise.reject(new Error('the whole tensor was read'))
  source.readRows = (name, first, count) => {
    asked.push({ first, count })
    return readRows(name, first, count)
  }
  return { source, asked }
}

const reader = (source: TensorSource, options: LoadOptions = {}): WeightReader =>
  new WeightReader(source, new Map([[names.tokenTable, 'table']]), options)

describe('a tensor of many chunks', () => {
  const shape = [330_000, 7] // 9.2 MB
  const values = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => i)

  test('is read once, in order, never more than 8 MiB at a time', async () => {
    const { source, asked } = sourceOf(shape, values)
    let next = 0
    for await (const { start, values: part } of reader(source).chunks(names.tokenTable)) {
      expect(start).toBe(next)
      expect(part.byteLength).toBeLessThanOrEqual(CHUNK_BYTES)
      sameBits('rows', part, values.subarray(start, start + part.length))
      next += part.length
    }
    expect(next).toBe(values.length)
    expect(asked).toEqual([
      { first: 0, count: 299_593 }, // floor(2^21 / 7)
      { first: 299_593, count: 330_000 - 299_593 },
    ])
  })

  test('is counted chunk by chunk, once the chunk was taken', async () => {
    const seen: number[] = []
    const { source } = sourceOf(shape, values)
    const onProgress: LoadOptions['onProgress'] = ({ loadedBytes, totalBytes, name }) => {
      expect([totalBytes, name]).toEqual([values.byteLength, 'table'])
      seen.push(loadedBytes)
    }
    const chunks = reader(source, { onProgress }).chunks(names.tokenTable)
    await chunks.next()
    expect(seen).toEqual([])
    await chunks.next()
    expect(seen).toEqual([299_593 * 7 * 4])
    await chunks.next()
    expect(seen).toEqual([299_593 * 7 * 4, values.byteLength])
  })

  test('can be left between two chunks', async () => {
    const stop = new AbortController()
    const { source, asked } = sourceOf(shape, values)
    const chunks = reader(source, { signal: stop.signal }).chunks(names.tokenTable)
    await chunks.next()
    stop.abort(new Error('enough'))
    await expect(chunks.next()).rejects.toThrow('enough')
    expect(asked).toHaveLength(1)
  })

  test('is refused for a number in any of them, by its place in the tensor', async () => {
    const broken = values.slice()
    broken[2_200_000] = NaN
    const all = async (options: LoadOptions): Promise<void> => {
      for await (const _ of reader(sourceOf(shape, broken).source, options).chunks(names.tokenTable));
    }
    const error: unknown = await all({}).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(InputError)
    expect(error).toMatchObject({
      code: 'WEIGHT_NOT_FINITE',
      message: 'table[2200000]: expected a finite number, got NaN',
    })
    await all({ allowNonFinite: true })
  })
})

test('a row that is longer than a chunk is one', async () => {
  const values = new Float32Array(2 * (2 ** 21 + 1))
  const { source, asked } = sourceOf([2, 2 ** 21 + 1], values)
  for await (const { values: part } of reader(source).chunks(names.tokenTable))
    expect(part.length).toBe(2 ** 21 + 1)
  expect(asked).toEqual([
    { first: 0, count: 1 },
    { first: 1, count: 1 },
  ])
})
