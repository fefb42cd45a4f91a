/**
 * Torch checkpoints: strided views of shared storages become row-major tensors; PK17 to PK22, ZP10, ZP11 and ZP13 of
 * the list of hostile files are refused.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseTorchCheckpoint } from '../../src/io/torch_checkpoint.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { rowsOf } from '../../src/tensor/tensor_source.ts'
import { law, scaledRuns } from '../harness/seed.ts'
import { concat, littleEndian } from '../../fixtures/hostile/bytes.ts'
import { answerOf, contentsOf, damagedValues, refusalOf, withByte } from './hostile.ts'
import {
  dict,
  floatTensor,
  makeZip,
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
): ReturnType<typeof parseTorchCheckpoint> =>
  parseTorchCheckpoint(torchFile(pickled, storages, more).bytes, 'pytorch_model.bin')

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
    [view],
    async ({ shape, offset, strides }) => {
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

  test('PK21 a storage may have two names: tied weights say so', async () => {
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

  test('a tensor that is not there has no value, and integers are no floats', async () => {
    const source = await open(
      one(tensor(storage('LongStorage', '0', P.int(1)), P.int(0), sizes(1), sizes(1))),
      { 0: littleEndian(7, 8) },
    )
    expect((await refusalOf(() => source.read('y'))).code).toBe('TENSOR_MISSING')
    expect((await refusalOf(() => source.read('x'))).code).toBe('DTYPE')
    expect([...(await source.readRaw('x'))]).toEqual([7, 0, 0, 0, 0, 0, 0, 0])
  })
})

describe('hostile checkpoints', () => {
  const f32 = storage('FloatStorage', '0', P.int(6))
  const six = { 0: floats(1, 2, 3, 4, 5, 6) }
  const view = (offset: number, shape: number[], strides: number[]): Uint8Array =>
    one(tensor(f32, P.int(offset), sizes(...shape), sizes(...strides)))
  const small = one(floatTensor('0', [6]))

  test.each<[string, string, Uint8Array, Record<string, Uint8Array>, EntryToZip[]?]>([
    [
      'PK01 a pickle that would run a command',
      'PICKLE_GLOBAL',
      pickle(P.global('os', 'system'), '(', P.text('id'), 'tR'),
      {},
    ],
    ['PK13 a dict that is no state dict', 'TORCH_ENTRY', pickle('N'), {}],
    ['PK14 a list that contains itself', 'TORCH_ENTRY', pickle(']', P.put(0), P.get(0), 'a'), {}],
    ['a dict of dicts', 'TORCH_ENTRY', one(dict()), {}],
    ['a storage without a tensor', 'TORCH_ENTRY', one(f32), six],
    ['a name without characters', 'TENSOR_NAME', pickle(dict([P.text(''), floatTensor('0', [6])])), six],
    ['a name with a line break', 'TENSOR_NAME', pickle(dict([P.text('a\nb'), floatTensor('0', [6])])), six],
    ['PK18 an unknown storage', 'TORCH_STORAGE_MISSING', one(floatTensor('1', [6])), six],
    ['PK19 an offset past the end', 'TORCH_BOUNDS', view(6, [1], [1]), six],
    ['PK19 an empty tensor past the end', 'TORCH_BOUNDS', view(7, [0], [1]), six],
    ['PK19 a shape past the end', 'TORCH_BOUNDS', view(0, [7], [1]), six],
    ['PK19 strides past the end', 'TORCH_BOUNDS', view(0, [2, 3], [4, 1]), six],
    ['PK19 a stride of 2^52', 'TORCH_BOUNDS', view(0, [3], [2 ** 52]), six],
    ['PK19 a shape of 2^80', 'TENSOR_OVERFLOW', view(0, [2 ** 40, 2 ** 40], [0, 0]), six],
    ['PK19 a shape of 2^80 beside a 0', 'TENSOR_OVERFLOW', view(0, [2 ** 40, 2 ** 40, 0], [0, 0, 0]), six],
    ['PK19 expanded to 1 TB by strides of 0', 'TORCH_EXPANDED', view(0, [2 ** 38], [0]), six],
    ['PK19 overlapping rows that are more than the storage', 'TORCH_EXPANDED', view(0, [4, 3], [1, 1]), six],
    ['PK19 fewer strides than sizes', 'TORCH_STRIDES', view(0, [2, 3], [1]), six],
    ['PK19 33 dimensions', 'TENSOR_SHAPE', view(0, Array(33).fill(1), Array(33).fill(1)), six],
    [
      'PK20 a storage of another type',
      'TORCH_STORAGE_SIZE',
      one(tensor(storage('HalfStorage', '0', P.int(6)), P.int(0), sizes(6), sizes(1))),
      six,
    ],
    ['PK20 a storage that is shorter', 'TORCH_STORAGE_SIZE', small, { 0: floats(1, 2, 3, 4, 5) }],
    ['PK20 a storage that is longer', 'TORCH_STORAGE_SIZE', small, { 0: floats(1, 2, 3, 4, 5, 6, 7) }],
    [
      'PK20 a storage of two types',
      'TORCH_STORAGE_TYPE',
      pickle(
        dict(
          [P.text('a'), floatTensor('0', [6])],
          [P.text('b'), tensor(storage('IntStorage', '0', P.int(6)), P.int(0), sizes(6), sizes(1))],
        ),
      ),
      six,
    ],
    [
      'PK21 five names for all values',
      'TORCH_SHARING',
      pickle(
        dict(...Array.from({ length: 5 }, (_, i): [Piece, Piece] => [P.text(`${i}`), floatTensor('0', [6])])),
      ),
      six,
    ],
    ['ZP10 two pickles', 'TORCH_PICKLE', small, six, [{ name: 'model/sub/data.pkl', data: small }]],
    ['ZP10 a second root', 'TORCH_PICKLE', small, six, [{ name: 'other/data/1', data: floats(1) }]],
    ['ZP10 an entry without a root', 'TORCH_PICKLE', small, six, [{ name: 'version', data: concat('3') }]],
    ['ZP11 big-endian', 'TORCH_BYTEORDER', small, six, [{ name: 'model/byteorder', data: concat('big') }]],
    [
      'ZP11 some other order',
      'TORCH_BYTEORDER',
      small,
      six,
      [{ name: 'model/byteorder', data: concat('little\u001b[2J') }],
    ],
    [
      'a TorchScript program',
      'TORCH_SCRIPT',
      small,
      six,
      [{ name: 'model/code/__torch__.py', data: concat('') }],
    ],
    [
      'ZP01 a deflated pickle',
      'ZIP_COMPRESSED',
      small,
      six,
      [{ name: 'model/x', data: concat('x'), method: 8 }],
    ],
  ])('%s: %s', async (_, code, pickled, storages, more) => {
    const error = await refusalOf(() => open(pickled, storages, more))
    expect(error.code).toBe(code)
    expect(error.message).toContain('pytorch_model.bin')
  })

  test('ZP10 no pickle', async () => {
    const file = makeZip([{ name: 'model/data.pkx', data: small }]).bytes
    expect((await refusalOf(() => parseTorchCheckpoint(file))).code).toBe('TORCH_PICKLE')
  })

  test.each<[string, string, Uint8Array]>([
    [
      'ZP13 the format before torch 1.6',
      'TORCH_LEGACY',
      readFileSync(join(golden, 'preln/pytorch_model.legacy.bin')),
    ],
    ['a bare pickle', 'TORCH_FORMAT', pickle('N')],
    [
      'a bare pickle that would run a command',
      'PICKLE_GLOBAL',
      pickle(P.global('posix', 'system'), '(', P.text('id'), 'tR'),
    ],
    ['the same in protocol 0', 'PICKLE_GLOBAL', concat("cposix\nsystem\n(S'id'\ntR.")],
    ['a text', 'TORCH_FORMAT', concat('cats\nand dogs\n')],
    ['a page', 'TORCH_FORMAT', concat('<!DOCTYPE html>')],
    ['nothing', 'TORCH_FORMAT', new Uint8Array(0)],
    ['the start of a zip', 'ZIP_END', concat('PK')],
  ])('%s: %s', async (_, code, bytes) => {
    const error = await refusalOf(() => parseTorchCheckpoint(bytes))
    expect(error.code).toBe(code)
  })
})

describe('damage', () => {
  const sample = torchFile(
    pickle(dict([P.text('w'), floatTensor('0', [2, 3])], [P.text('b'), floatTensor('0', [3], 3, 6)])),
    { 0: floats(1, 2, 3, 4, 5, 6) },
  ).bytes

  test('every strict prefix is refused', async () => {
    for (let length = 0; length < sample.length; length++) {
      await refusalOf(() => parseTorchCheckpoint(sample.slice(0, length)))
    }
  })

  test('any change of any byte is refused, or changes nothing', async () => {
    const whole = await contentsOf(parseTorchCheckpoint(sample))
    for (let index = 0; index < sample.length; index++) {
      for (const value of damagedValues(sample[index], scaledRuns(1) >= 10)) {
        const answer = await answerOf(() => contentsOf(parseTorchCheckpoint(withByte(sample, index, value))))
        if (!(answer instanceof InputError)) expect(answer).toEqual(whole)
      }
    }
  })

  law(
    'a real file, cut or changed anywhere, is refused or reads the same',
    [fc.nat(), fc.nat(255)],
    async (position, value) => {
      const file = new Uint8Array(readFileSync(join(golden, 'postln_proj/pytorch_model.bin')))
      const at = position % file.length
      await refusalOf(() => parseTorchCheckpoint(file.slice(0, at)))
      const answer = await answerOf(() => contentsOf(parseTorchCheckpoint(withByte(file, at, value))))
      if (!(answer instanceof InputError))
        expect(answer).toEqual(await contentsOf(parseTorchCheckpoint(file)))
    },
  )
})
