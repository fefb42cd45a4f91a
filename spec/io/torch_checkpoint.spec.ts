/**
 * Torch checkpoints: strided views of shared storages become row-major tensors; PK17 to PK22, ZP10 and ZP11 of the
 * list of hostile files are refused. ZP13, the format before torch 1.6, has laws of its own (`torch_legacy.spec.ts`).
 *
 * Tests src/io/torch_views.ts and src/io/torch_zip.ts.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InputError } from '../../src/tensor/errors.ts'
import { rowsOf } from '../../src/tensor/tensor_source.ts'
import { law, scaledRuns } from '../harness/seed.ts'
import { concat, littleEndian } from '../../fixtures/hostile/bytes.ts'
import { answerOf, contentsOf, damagedValues, parseTorch, refusalOf, withByte } from './hostile.ts'
import {
  dict,
  floatTensor,
  P,
  pickle,
  sizes,
  storage,
  tensor,
  torchFile,
  type EntryToZip,
  type Piece,
} from '../../fixtures/hostile/build_torch.ts'

const golden = fileURLToPath(new URL('../../fixtures/golden', import.meta.url))
const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer)
const one = (piece: Piece): Uint8Array => pickle(dict([P.text('x'), piece]))
const open = (
  pickled: Uint8Array,
  storages: Record<string, Uint8Array> = {},
  more?: EntryToZip[],
): ReturnType<typeof parseTorch> => parseTorch(torchFile(pickled, storages, more).bytes, 'pytorch_model.bin')

describe('views of storages', () => {
  /** Shapes and strides that lie within a storage and have no more elements than it. */
  const view = fc
    .record({
      shape: fc.array(fc.nat(4), { maxLength: 4 }),
      offset: fc.nat(3),
      seed: fc.array(fc.nat(6), { minLength: 4, maxLength: 4 }),
    })
    .map(({ shape, offset, seed }) => ({ shape, offset, strides: shape.map((_, i) => seed[i]) }))

  law(
    'are read as indices say: element i, j, ... lies at offset + i * stride + j * stride + ...',
    { view },
    async ({ view: { shape, offset, strides } }) => {
      const count = shape.reduce((product, size) => product * size, 1)
      const extent = count === 0 ? 0 : shape.reduce((sum, size, i) => sum + (size - 1) * strides[i], 1)
      const length = Math.max(offset + extent, count)
      const values = Float32Array.from({ length }, (_, i) => i + 1)
      const source = await open(
        one(
          tensor(
            storage('FloatStorage', '0', P.int(length)),
            P.int(offset),
            sizes(...shape),
            sizes(...strides),
          ),
        ),
        { 0: new Uint8Array(values.buffer) },
      )
      const expected = Float32Array.from({ length: count }, (_, flat) => {
        let rest = flat
        let at = offset
        for (let i = shape.length - 1; i >= 0; i--) {
          at += (rest % shape[i]) * strides[i]
          rest = Math.floor(rest / shape[i])
        }
        return values[at]
      })
      expect(source.tensors.get('x')?.shape).toEqual(shape)
      expect(await source.read('x')).toEqual(expected)
      const { rows, columns } = rowsOf(shape)
      for (let row = 0; row < rows; row++)
        expect(await source.readRows('x', row, 1)).toEqual(
          expected.subarray(row * columns, (row + 1) * columns),
        )
      expect((await source.readRaw('x')).byteLength).toBe(source.tensors.get('x')?.byteLength)
    },
  )

  test.each([
    ['HalfStorage', 'F16', concat([0, 0x3c], [0, 0xc0]), [1, -2]],
    ['BFloat16Storage', 'BF16', concat([0x80, 0x3f], [0, 0xc0]), [1, -2]],
    ['DoubleStorage', 'F64', new Uint8Array(Float64Array.of(1, -2).buffer), [1, -2]],
  ])('%s is %s', async (type, dtype, bytes, values) => {
    const source = await open(one(tensor(storage(type, '0', P.int(2)), P.int(0), sizes(2), sizes(1))), {
      0: bytes,
    })
    expect(source.tensors.get('x')?.dtype).toBe(dtype)
    expect([...(await source.read('x'))]).toEqual(values)
  })

  test('PK21 a storage may have two names: tied weights', async () => {
    const source = await open(
      pickle(
        dict(
          [P.text('a'), floatTensor('0', [2])],
          [P.text('b'), floatTensor('0', [2])],
          [P.text('c'), floatTensor('0', [1], 1)],
        ),
      ),
      { 0: floats(5, 6) },
    )
    expect(source.tensors.get('a')?.sameAs).toBeUndefined()
    expect(source.tensors.get('b')?.sameAs).toBe('a')
    expect(source.tensors.get('c')?.sameAs).toBeUndefined()
    expect([...(await source.read('b')), ...(await source.read('c'))]).toEqual([5, 6, 6])
  })

  test('a missing tensor and an integer tensor read as floats are refused', async () => {
    const source = await open(
      one(tensor(storage('LongStorage', '0', P.int(1)), P.int(0), sizes(1), sizes(1))),
      { 0: littleEndian(7, 8) },
    )
    expect((await refusalOf(() => source.read('y'))).code).toBe('TENSOR_MISSING')
    expect((await refusalOf(() => source.read('x'))).code).toBe('DTYPE')
    expect([...(await source.readRaw('x'))]).toEqual([7, 0, 0, 0, 0, 0, 0, 0])
  })
})

describe('damage', () => {
  const sample = torchFile(
    pickle(dict([P.text('w'), floatTensor('0', [2, 3])], [P.text('b'), floatTensor('0', [3], 3, 6)])),
    { 0: floats(1, 2, 3, 4, 5, 6) },
  ).bytes

  test('every strict prefix is refused', async () => {
    for (let length = 0; length < sample.length; length++) {
      await refusalOf(() => parseTorch(sample.slice(0, length)))
    }
  })

  test('any change of any byte is refused, or changes nothing', async () => {
    const whole = await contentsOf(parseTorch(sample))
    for (let index = 0; index < sample.length; index++) {
      for (const value of damagedValues(sample[index], scaledRuns(1) >= 10)) {
        const answer = await answerOf(() => contentsOf(parseTorch(withByte(sample, index, value))))
        if (!(answer instanceof InputError)) expect(answer).toEqual(whole)
      }
    }
  })

  law(
    'a real file, cut or changed anywhere, is refused or reads the same',
    { position: fc.nat(), value: fc.nat(255) },
    async ({ position, value }) => {
      const file = new Uint8Array(readFileSync(join(golden, 'postln_proj/pytorch_model.bin')))
      const at = position % file.length
      await refusalOf(() => parseTorch(file.slice(0, at)))
      const answer = await answerOf(() => contentsOf(parseTorch(withByte(file, at, value))))
      if (!(answer instanceof InputError)) expect(answer).toEqual(await contentsOf(parseTorch(file)))
    },
  )
})
