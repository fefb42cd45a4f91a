/**
 * Protocol buffers as the bench of peers writes them: the bytes of the examples in the encoding's documentation
 * (protobuf.dev/programming-guides/encoding), and any fields come back as they were written.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MessageWriter } from '../../bench/peers/protobuf.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { readFields, type Field } from './protobuf_reader.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

test.each([
  ['a varint of two bytes', new MessageWriter().integer(1, 150), '089601'],
  ['a text', new MessageWriter().string(2, 'testing'), '120774657374696e67'],
  [
    'a message in a message',
    new MessageWriter().message(3, new MessageWriter().integer(1, 150)),
    '1a03089601',
  ],
  ['a negative number, in two’s complement', new MessageWriter().integer(1, -2), '08feffffffffffffffff01'],
  ['a field of two bytes', new MessageWriter().integer(16, 1), '800101'],
  ['a float', new MessageWriter().float(1, 1), '0d0000803f'],
  ['nothing', new MessageWriter(), ''],
])('%s has the bytes of the documentation', (_, message, bytes) => {
  expect(hex(message.finish())).toBe(bytes)
})

type Value = bigint | string | Uint8Array | { readonly float: number }

const fieldNumber = fc.integer({ min: 1, max: 2 ** 20 })
const value: fc.Arbitrary<Value> = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0n, 127n, 128n, 16383n, 16384n, 2n ** 32n),
  fc.string({ unit: 'grapheme', maxLength: 200 }),
  fc.uint8Array({ maxLength: 300 }),
  fc.record({ float: fc.float() }),
)
const fields = fc.array(fc.tuple(fieldNumber, value), { maxLength: 8 })

function written(writer: MessageWriter, all: readonly (readonly [number, Value])[]): MessageWriter {
  for (const [field, value] of all)
    if (typeof value === 'bigint') writer.integer(field, value)
    else if (typeof value === 'string') writer.string(field, value)
    else if (value instanceof Uint8Array) writer.bytes(field, value)
    else writer.float(field, value.float)
  return writer
}

function asRead(value: Value): bigint | Uint8Array {
  if (typeof value === 'bigint') return BigInt.asUintN(64, value)
  if (typeof value === 'string') return new TextEncoder().encode(value)
  return value instanceof Uint8Array ? value : new Uint8Array(Float32Array.of(value.float).buffer)
}

const comesBack = lawForAll(
  'any fields come back as they were written, in their order',
  { all: fields },
  (makeWriter: () => MessageWriter, { all }): void => {
    const expected = all.map(([field, value]): Field => [field, asRead(value)])
    const read = readFields(written(makeWriter(), all).finish())
    expect(read.map(([field, value]) => [field, typeof value === 'bigint' ? value : hex(value)])).toEqual(
      expected.map(([field, value]) => [field, typeof value === 'bigint' ? value : hex(value)]),
    )
    // A message inside another is its bytes.
    const outer = readFields(makeWriter().message(5, written(makeWriter(), all)).finish())
    expect(outer.map(([field, value]) => [field, hex(value as Uint8Array)])).toEqual([
      [5, hex(written(makeWriter(), all).finish())],
    ])
  },
)
stateLaw(comesBack, () => new MessageWriter())

class SignedByMagnitude extends MessageWriter {
  override integer(field: number, value: number | bigint): this {
    return super.integer(field, value < 0 ? -BigInt(value) : value)
  }
}

class LengthInCharacters extends MessageWriter {
  override string(field: number, value: string): this {
    return super.bytes(field, new TextEncoder().encode(value).subarray(0, value.length))
  }
}

class BigEndianFloats extends MessageWriter {
  override float(field: number, value: number): this {
    const swapped = new DataView(new ArrayBuffer(4))
    swapped.setFloat32(0, value)
    return super.float(field, swapped.getFloat32(0, true))
  }
}

class ForgottenMessages extends MessageWriter {
  override message(field: number): this {
    return super.bytes(field, new Uint8Array(0))
  }
}

test.each([SignedByMagnitude, LengthInCharacters, BigEndianFloats, ForgottenMessages])(
  'a mutant is killed: %o',
  (Mutant) => kills(comesBack, () => new Mutant()),
)
