/**
 * A storage says all of itself in one module: what a backend holds reads back as the numbers of its definition, products in
 * blocks are near those of their numbers, and few other files name it.
 *
 * Tests src/engine/storages/.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BufferScope } from '../../src/backends/buffer_scope.ts'
import {
  matrixOf,
  storageIn,
  storageNamed,
  storages,
  type Matrix as HeldMatrix,
  type Storage,
} from '../../src/engine/storages/index.ts'
import { matrixBytes } from '../../src/engine/storages/storage.ts'
import { floatStorage } from '../../src/engine/storages/floats.ts'
import { matrix, tensor, type Matrix, type Tensor } from '../../src/spec/plain.ts'
import { widenBf16 } from '../../src/tensor/halves.ts'
import { overBackends } from '../harness/backends.ts'
import { near, sameBits } from '../../src/verify/compare.ts'
import { anyData, kills, killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { readSources } from '../harness/syntax.ts'

/** The largest float32. */
const MAX_FLOAT = 2 ** 128 - 2 ** 104

test('each storage is listed under its own name', () =>
  expect(storages).toEqual(storages.map((name) => storageNamed(name).name)))

/** The bytes of a number of those that came first. */
const known: Readonly<Partial<Record<Storage, number>>> = { f32: 4, bf16: 2, f16: 2, int8: 1, int4: 0.625 }

test.each(storages)(
  '%s: the bytes of a matrix are those of its numbers, and of a scale for each row',
  (name) => {
    const { numberBytes, bytes } = storageNamed(name)
    const [rows, columns] = [8, 320]
    const scales = bytes(rows, columns, 'outputs') - rows * columns * numberBytes
    expect([0, 4 * rows]).toContain(scales)
    expect(numberBytes).toBe(known[name] ?? numberBytes)
  },
)

test.each(storages)(
  '%s: the least size that it refuses is the least that it rounds to no finite number',
  (name) => {
    const { infiniteFrom, plain } = storageNamed(name)
    const isFinite = (value: number): boolean =>
      Number.isFinite(plain(tensor(Float32Array.of(value), 1, 1), false).widen().data[0])
    const pattern = new Uint32Array(Float32Array.of(Math.min(infiniteFrom, MAX_FLOAT)).buffer)
    const below = new Float32Array(Uint32Array.of(pattern[0] - 1).buffer)[0]
    for (const sign of [1, -1]) {
      expect(isFinite(sign * below)).toBe(true)
      if (infiniteFrom < Infinity) expect(isFinite(sign * infiniteFrom)).toBe(false)
    }
  },
)

overBackends((backend) => {
  type ReadBack = (matrix: HeldMatrix, row: number, columns: number) => Float32Array
  const opened: ReadBack = (held, row, columns) => storageIn(held).open(backend, held, columns)(row)
  const isRead = lawForAll(
    'rows of a held matrix are read back as the numbers of its definition, and it takes the bytes that its storage says',
    {
      storage: fc.constantFrom(...storages),
      O: fc.integer({ min: 1, max: 70 }),
      I: fc.integer({ min: 1, max: 70 }),
      isTurned: fc.boolean(),
      data: anyData,
    },
    (read: ReadBack, { storage, O, I, isTurned, data }) => {
      const weight = tensor(data.floats('weight', [O, I]), O, I)
      const record = storageNamed(storage)
      const numbers = record.plain(weight, isTurned).widen()
      const [rows, columns] = numbers.shape
      const scope = new BufferScope(backend)
      try {
        const builder = record.builder(scope, [O, I], isTurned)
        builder.add({ start: 0, values: weight.data })
        const held = isTurned ? builder.build() : matrixOf(scope, storage, weight.data, O, I)
        expect(storageIn(held).dtype).toBe(record.dtype)
        expect(matrixBytes(held)).toBe(record.bytes(rows, columns, isTurned ? 'inputs' : 'outputs'))
        const row = data.whole('row', 0, rows - 1)
        sameBits('row', read(held, row, columns), numbers.data.subarray(row * columns, (row + 1) * columns))
      } finally {
        scope.dispose()
      }
    },
  )
  stateLaw(isRead, opened)

  test.each([false, true])(
    'numbers are rounded on the host where no op rounds so; turned: %s',
    (isTurned) => {
      const cut = floatStorage(
        { name: 'cut', dtype: 'bf16', words: 'bf16, cut off', infiniteFrom: Infinity, inFile: null },
        (x) => new Uint16Array(x.slice().buffer).filter((_, i) => i % 2 === 1),
        widenBf16,
      )
      const [O, I] = [3, 5]
      const weight = tensor(
        Float32Array.from({ length: O * I }, (_, i) => (i + 1) / 3),
        O,
        I,
      )
      const scope = new BufferScope(backend)
      const builder = cut.builder(scope, [O, I], isTurned)
      builder.add({ start: 0, values: weight.data })
      const open = cut.open(backend, builder.build(), isTurned ? O : I)
      const rows = Array.from({ length: isTurned ? I : O }, (_, row) => [...open(row)])
      scope.dispose()
      expect(rows.flat()).toEqual([...cut.plain(weight, isTurned).widen().data])
      expect(rows[0][0]).toBe(new Float32Array(Uint32Array.of(0x3eaa_0000).buffer)[0])
    },
  )

  test('reading the row before is found', () =>
    kills(isRead, (held, row, columns) => opened(held, Math.max(0, row - 1), columns)))
})

type Store = (weight: Tensor, storage: Storage, isTurned: boolean) => Matrix
const storeWeight: Store = (weight, storage, isTurned) => storageNamed(storage).plain(weight, isTurned)

const isProduct = lawForAll(
  'x times an int4 matrix of either orientation is x times its numbers, within half a step for each activation',
  {
    T: fc.integer({ min: 1, max: 5 }),
    O: fc.integer({ min: 1, max: 40 }),
    I: fc.integer({ min: 1, max: 100 }),
    hasBias: fc.boolean(),
    data: anyData,
  },
  (store: Store, { T, O, I, hasBias, data }) => {
    const [x, weight] = [tensor(data.floats('x', [T, I]), T, I), tensor(data.floats('weight', [O, I]), O, I)]
    const bias = hasBias ? tensor(data.floats('bias', O), O) : null
    const stored = store(weight, 'int4', false)
    const y = stored.dots(x, bias)
    sameBits('y', store(weight, 'int4', true).sums(x, bias).data, y.data)
    const numbers = stored.widen()
    // Activations and numbers are below 2, but for what half precision adds to the latter.
    const error = 1.01 * I * 2 * (0.5 * (2 / 127))
    near('y', y.data, matrix(numbers).dots(x, bias).data, error)
    near('numbers', numbers.data, weight.data, 0.51 * (4 / 15) + 2 ** -9)
  },
)
stateLaw(isProduct, storeWeight)

describe('mutants are killed:', () => {
  /** The weights with something done to them before they are stored. */
  const storing =
    (change: (x: Tensor, isTurned: boolean) => Tensor): Store =>
    (x, storage, isTurned) =>
      storeWeight(change(x, isTurned), storage, isTurned)
  const shifted = ({ data, shape }: Tensor): Tensor =>
    tensor(
      data.map((_, n) => data[(n + 1) % data.length]),
      ...shape,
    )
  const firstRows = ({ data, shape }: Tensor): Tensor =>
    tensor(
      data.map((_, n) => data[n % shape[1]]),
      ...shape,
    )

  killsEach('%s', isProduct, {
    'turned weights begin at the second number': storing((x, turned) => (turned ? shifted(x) : x)),
    'all weights begin at the second number': storing(shifted),
    'a product without the bias': (...all) => {
      const right = storeWeight(...all)
      return { ...right, dots: (x) => right.dots(x, null) }
    },
    'blocks of the first output for every output': storing((x, turned) => (turned ? firstRows(x) : x)),
  })
})

/** Files of src/ that name int4, but for its modules and its operations: definitions, contracts and laws that are named so. */
function filesThatName(sources: ReturnType<typeof readSources>): string[] {
  const own = /^src\/(tensor|engine\/storages)\/int4\.ts$|^src\/(ops|verify\/ops)\/\w*(_i4|int4)\w*\.ts$/
  return sources.flatMap(({ path, text }) =>
    !own.test(path) && /int4|Int4|'i4'|_i4/.test(text) ? [path] : [],
  )
}

describe('a storage is named by its own modules, its operations, and few others', () => {
  test('of src/, at most 13 files name int4', () => {
    const files = filesThatName(readSources('src'))
    expect(files.length).toBeLessThanOrEqual(13)
    expect(files).toContain('src/engine/storages/index.ts')
  })

  test('a file that names it is found, and its own are not', () => {
    const texts: Readonly<Record<string, string>> = {
      'src/engine/weights.ts': "const a = 'int4'",
      'src/ops/contracts/linear.ts': "import { linear_i4 } from '../linear_i4.ts'",
      'src/ops/linear_i4.ts': 'linear_i4',
      'src/verify/ops/int4_product.ts': 'linear_i4',
      'src/tensor/int4.ts': 'int4',
      'src/engine/packing.ts': 'a matrix',
    }
    const sources = Object.entries(texts).map(([path, text]) => ({ path, text }))
    expect(filesThatName(sources)).toEqual(['src/engine/weights.ts', 'src/ops/contracts/linear.ts'])
  })
})
