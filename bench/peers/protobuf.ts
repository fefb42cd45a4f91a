/**
 * Protocol buffers, the writing half: fields of a message one after the other, each a tag and a value
 * (protobuf.dev/programming-guides/encoding). Only what ONNX files need.
 *
 * A tag is the field's number and its wire type in one varint: 0 for varints, 2 for what says its length first, 5 for
 * four bytes.
 */

const VARINT = 0
const LENGTH = 2
const FOUR_BYTES = 5

const utf8 = new TextEncoder()

/** One message in the making. Fields are written in the order of the calls. */
export class MessageWriter {
  readonly #bytes: number[] = []

  /** int32, int64, uint64, enum. A negative number takes ten bytes, as two's complement of 64 bits. */
  integer(field: number, value: number | bigint): this {
    return this.#tag(field, VARINT).#varint(BigInt.asUintN(64, BigInt(value)))
  }

  /** float, little-endian. */
  float(field: number, value: number): this {
    this.#tag(field, FOUR_BYTES)
    return this.#raw(new Uint8Array(Float32Array.of(value).buffer))
  }

  string(field: number, value: string): this {
    return this.bytes(field, utf8.encode(value))
  }

  bytes(field: number, value: Uint8Array): this {
    return this.#tag(field, LENGTH).#varint(BigInt(value.length)).#raw(value)
  }

  /** A message inside this one. */
  message(field: number, value: MessageWriter): this {
    return this.bytes(field, value.finish())
  }

  /** What was written so far. */
  finish(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#bytes)
  }

  #tag(field: number, wireType: number): this {
    return this.#varint(BigInt((field << 3) | wireType))
  }

  /** Seven bits a byte, the lowest first; the highest bit says that more follow. */
  #varint(value: bigint): this {
    let rest = value
    for (; rest > 0x7fn; rest >>= 7n) this.#bytes.push(Number(rest & 0x7fn) | 0x80)
    this.#bytes.push(Number(rest))
    return this
  }

  #raw(bytes: Uint8Array): this {
    for (const byte of bytes) this.#bytes.push(byte)
    return this
  }
}
