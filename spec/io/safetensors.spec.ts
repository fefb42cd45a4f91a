/**
 * safetensors. What is written comes back bit for bit; whatever else is in a file of that name, the answer is the
 * tensors or a typed error, before any memory is taken for what the file merely claims.
 *
 * Tests src/io/refusal.ts, src/io/safetensors_writer.ts, src/io/tensor_name.ts, src/tensor/quote.ts and
 * src/tensor/tensor_source.ts.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseJson, type JsonMap } from '../../src/io/json.ts'
import { openSafetensors, parseSafetensors } from '../../src/io/safetensors.ts'
import {
  encodeSafetensors,
  safetensorsSize,
  writeSafetensors,
  type TensorToWrite,
} from '../../src/io/safetensors_writer.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { readIntegers, type SourceDtype } from '../../src/tensor/tensor_source.ts'
import { law, scaledRuns } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { concat } from '../../fixtures/hostile/bytes.ts'
import { headerField, rawSafetensors } from '../../fixtures/hostile/build_safetensors.ts'
import { answerOf, contentsOf, damagedValues, refusalOf, withByte } from './hostile.ts'

const folder = temporaryFolder()

const sizes: Record<SourceDtype, number> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
}
const dtypes = Object.keys(sizes) as SourceDtype[]

const names = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'toString', '0', ' ', 'é', '𝄞', '"', '\\'),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }).filter((name) => !/\p{Cc}/u.test(name)),
)
const tensor = fc
  .record({ dtype: fc.constantFrom(...dtypes), shape: fc.array(fc.nat(3), { maxLength: 3 }) })
  .chain(({ dtype, shape }) => {
    const length = shape.reduce((product, size) => product * size, sizes[dtype])
    return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => ({ dtype, shape, data }))
  })
const tensors = fc.uniqueArray(fc.tuple(names, tensor), { maxLength: 5, selector: ([name]) => name })
const metadata = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), {
  maxKeys: 3,
})

describe('a written file', () => {
  law(
    'round-trips: names, types, shapes, every bit, and the metadata',
    { list: tensors, text: metadata },
    async ({ list, text }) => {
      const bytes = encodeSafetensors(new Map(list), text)
      expect(safetensorsSize(new Map(list), text)).toBe(bytes.length)
      const read = await contentsOf(parseSafetensors(bytes))
      expect(new Map(read.metadata)).toEqual(new Map(Object.entries(text)))
      expect(
        new Map(read.tensors.map(({ name, bytes: data, dtype, shape }) => [name, { dtype, shape, data }])),
      ).toEqual(new Map(list))
    },
  )

  law('does not depend on the order of its tensors', { list: tensors }, ({ list }) => {
    expect(encodeSafetensors(new Map(list.toReversed()))).toEqual(encodeSafetensors(new Map(list)))
  })

  law('begins each tensor at a multiple of its element size', { list: tensors }, async ({ list }) => {
    const bytes = encodeSafetensors(new Map(list))
    const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true))
    // Not JSON.parse: a plain object is no place for a tensor called __proto__.
    const header = parseJson(bytes.subarray(8, 8 + headerLength), 'header') as JsonMap
    for (const [name, { dtype }] of list) {
      const [begin] = (header.get(name) as JsonMap).get('data_offsets') as [number]
      expect((8 + headerLength + begin) % sizes[dtype]).toBe(0)
    }
  })

  test('is the same in a file as in memory, and a file is read by ranges', async () => {
    const content = new Map<string, TensorToWrite>([
      ['a', { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
      ['b', { dtype: 'I64', shape: [3], data: Int32Array.of(-1, 0, 7) }],
    ])
    const path = join(folder, 'file.safetensors')
    await writeSafetensors(path, content, { format: 'pt' })
    expect(new Uint8Array(readFileSync(path))).toEqual(encodeSafetensors(content, { format: 'pt' }))
    const source = await openSafetensors(path)
    expect(await source.read('a')).toEqual(Float32Array.of(1, 2, 3, 4))
    expect(await readIntegers(source, 'b')).toEqual(Int32Array.of(-1, 0, 7))
    expect(source.metadata.get('format')).toBe('pt')
    await source.close()
  })

  test('float32 may be written as any float type, rounded to nearest', async () => {
    const data = Float32Array.of(1 / 3, -65504, 2 ** -24, 0)
    for (const dtype of ['F64', 'F32', 'F16', 'BF16'] as const) {
      const source = await parseSafetensors(encodeSafetensors(new Map([['x', { dtype, shape: [4], data }]])))
      expect(source.tensors.get('x')).toEqual({ name: 'x', dtype, shape: [4], byteLength: 4 * sizes[dtype] })
      const back = await source.read('x')
      for (let i = 0; i < 4; i++) {
        const error = Math.abs(back[i] - data[i])
        expect(error).toBeLessThanOrEqual(
          Math.abs(data[i]) * (dtype === 'BF16' ? 2 ** -8 : dtype === 'F16' ? 2 ** -11 : 0),
        )
      }
    }
  })

  test.each([
    ['TENSOR_SPAN', 'x', { dtype: 'F32', shape: [3], data: new Float32Array(2) }],
    ['TENSOR_SPAN', 'x', { dtype: 'F16', shape: [2], data: new Uint8Array(3) }],
    ['TENSOR_OVERFLOW', 'x', { dtype: 'U8', shape: [2 ** 40, 2 ** 40], data: new Uint8Array(0) }],
    ['TENSOR_NAME', '', { dtype: 'U8', shape: [0], data: new Uint8Array(0) }],
    ['TENSOR_NAME', '__metadata__', { dtype: 'U8', shape: [0], data: new Uint8Array(0) }],
    ['TENSOR_NAME', '\ud800', { dtype: 'U8', shape: [0], data: new Uint8Array(0) }],
  ] as const)('%s: what could not be read back is not written (%j)', async (code, name, content) => {
    const refused = await refusalOf(() => encodeSafetensors(new Map([[name, content]])))
    expect(refused.code).toBe(code)
  })
})

describe('hostile files are refused', () => {
  test('the error names the byte of the file and the tensor', async () => {
    const twice = await refusalOf(() => parseSafetensors(rawSafetensors({ header: '{"é":1,"é":2}' })))
    expect(twice.byteOffset).toBe(8 + '{"é":1,'.length + 1) // é takes two bytes
    const span = await refusalOf(() =>
      parseSafetensors(rawSafetensors({ header: `{${headerField('w', 'F32', '[2]', 0, 4)}}`, data: 4 })),
    )
    expect(span.tensor).toBe('w')
  })

  test('a missing file and a path that is no file have their own codes', async () => {
    expect((await refusalOf(() => openSafetensors(join(folder, 'none')))).code).toBe('FILE_MISSING')
    expect((await refusalOf(() => openSafetensors(folder))).code).toBe('FILE_KIND')
    const source = await parseSafetensors(
      encodeSafetensors(new Map([['n', { dtype: 'I64', shape: [0], data: new Int32Array(0) }]])),
    )
    expect((await refusalOf(() => source.read('m'))).code).toBe('TENSOR_MISSING')
    expect((await refusalOf(() => source.readRaw('__proto__'))).code).toBe('TENSOR_MISSING')
    expect((await refusalOf(() => source.read('n'))).code).toBe('DTYPE')
  })
})

describe('legal but unusual files are read', () => {
  test('ST19 float32 at an odd address', async () => {
    const header = `{${headerField('b', 'U8', '[1]', 0, 1)},${headerField('x', 'F32', '[1]', 1, 5)}}`
    const source = await parseSafetensors(
      rawSafetensors({ header, data: concat([7], new Uint8Array(Float32Array.of(1.5).buffer)) }),
    )
    expect([...(await source.read('x'))]).toEqual([1.5])
  })

  test('ST24 NaN and infinity are read', async () => {
    const data = new Float32Array(Uint32Array.of(0x7fc01234, 0x7f800001, 0xff800000).buffer)
    const source = await parseSafetensors(
      encodeSafetensors(new Map([['x', { dtype: 'F32', shape: [3], data }]])),
    )
    expect(new Uint32Array((await source.read('x')).buffer)).toEqual(new Uint32Array(data.buffer))
  })
})

describe('damage', () => {
  const sample = encodeSafetensors(
    new Map<string, TensorToWrite>([
      ['w', { dtype: 'F32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
      ['h', { dtype: 'F16', shape: [3], data: Float32Array.of(1, 2, 3) }],
      ['n', { dtype: 'U8', shape: [], data: Uint8Array.of(9) }],
    ]),
    { format: 'pt' },
  )

  test('every strict prefix is refused', async () => {
    for (let length = 0; length < sample.length; length++) {
      await refusalOf(() => parseSafetensors(sample.slice(0, length)))
    }
  })

  law(
    'every strict prefix of any file is refused',
    { list: tensors, seed: fc.nat() },
    async ({ list, seed }) => {
      const bytes = encodeSafetensors(new Map(list))
      await refusalOf(() => parseSafetensors(bytes.slice(0, seed % bytes.length)))
    },
  )

  test('any changed byte of the header is refused, or changes only its own field', async () => {
    const whole = await contentsOf(parseSafetensors(sample))
    const headerEnd = 8 + Number(new DataView(sample.buffer).getBigUint64(0, true))
    let survivors = 0
    for (let index = 0; index < headerEnd; index++) {
      for (const value of damagedValues(sample[index], scaledRuns(1) >= 10)) {
        const answer = await answerOf(() => contentsOf(parseSafetensors(withByte(sample, index, value))))
        if (answer instanceof InputError) continue
        survivors++
        // Nothing but a name, a type of the same width, or free text can differ: the values are where they were.
        const values = (contents: typeof whole): unknown =>
          contents.tensors.map(({ bytes, shape }) => ({ bytes, shape }))
        expect(values(answer)).toEqual(values(whole))
      }
    }
    expect(survivors).toBeGreaterThan(0)
  })

  law(
    'any bytes after a well-formed start give tensors or a typed error',
    {
      noise: fc.uint8Array({ maxLength: 60 }),
      text: fc.string({
        unit: fc.constantFrom(...'{}[]":,0123456789.-eE \\u"dtypeshapeF32data_offsets'),
        maxLength: 60,
      }),
    },
    async ({ noise, text }) => {
      await answerOf(() => contentsOf(parseSafetensors(noise)))
      await answerOf(() => contentsOf(parseSafetensors(rawSafetensors({ header: text }))))
      await answerOf(() =>
        contentsOf(parseSafetensors(rawSafetensors({ header: `{"x":{${text}}}`, data: 4 }))),
      )
    },
    { runs: 500 },
  )
})
