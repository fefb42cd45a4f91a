/**
 * Writes GGUF files, version 3, as gguf.ts reads them; and rounds float32 numbers to their types by ggml's own rules
 * (quantize_row_*_ref), so that llama.cpp reads here what its own tools would have written:
 *
 *   Q8_0  d = max |x| / 127                              q = round(x / d), halves away from zero
 *   Q4_0  d = the x of the largest magnitude / -8        q = min(15, floor(x / d + 8.5))
 *   Q4_1  m = min x, d = (max x - m) / 15                q = min(15, floor((x - m) / d + 0.5))
 *
 * Every operation is rounded to float32, and numbers are multiplied by the inverse of d as it is before it is stored in
 * half precision, as m is.
 */
import { narrowToF16 } from '../tensor/halves.ts'
import { ggufTypes, type GgufType } from './gguf_blocks.ts'
import type { Format } from './gguf_formats.ts'

/** What files say of their format, by ggml's numbers. */
const fileTypes: Readonly<Record<Format, number>> = { F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 7 }
/** The version of the layouts of blocks. */
const QUANTIZATION_VERSION = 2

/**
 * A value of an entry. A number says which of two types it has; a list of numbers is of int32 or float32. Bytes are a type and a
 * value as another file has them.
 */
export type WrittenValue =
  | string
  | boolean
  | Uint8Array
  | readonly string[]
  | Int32Array
  | Float32Array
  | { readonly u32: number }
  | { readonly f32: number }

/** A tensor that is asked for when its turn comes. */
export interface WrittenTensor {
  readonly name: string
  /** A type that is read. */
  readonly format: string
  /** Sizes with the fastest last; rows of a quantised type are whole blocks. */
  readonly shape: readonly number[]
  /** Numbers, for a format that they can be rounded to; or bytes in that type. */
  readonly read: () => Promise<Float32Array | Uint8Array<ArrayBuffer>>
}

/** The bytes that a tensor takes in a file. */
export function bytesOf({ format, shape }: WrittenTensor): number {
  const [, { numbers, bytes }] = typeOf(format)
  return (numbersOf(shape) / numbers) * bytes
}

/** Numbers of a block; 1 for a format without. */
export function blockOf(format: Format): number {
  return typeOf(format)[1].numbers
}

/** The entries that tell the format of a file. */
export function formatEntries(format: Format): [string, WrittenValue][] {
  return [
    ['general.file_type', { u32: fileTypes[format] }],
    ['general.quantization_version', { u32: QUANTIZATION_VERSION }],
  ]
}

/**
 * The format of a tensor in a file of this one: vectors and positions are F32, rows that are not whole blocks F16. The token table and the
 * head of a file of four bits are Q8_0: llama.cpp's quantiser does not round them to four bits either, but to Q6_K, and to Q8_0 where a
 * row is no multiple of 256.
 */
export function formatOf(name: string, shape: readonly number[], format: Format): Format {
  if (shape.length === 1 || name === 'position_embd.weight') return 'F32'
  if (shape[1] % blockOf(format) !== 0) return 'F16'
  const isEnd = name === 'token_embd.weight' || name === 'output.weight'
  return isEnd && (format === 'Q4_0' || format === 'Q4_1') ? 'Q8_0' : format
}

/** Rows of heads of K rows, each from the order of halves to that of pairs of neighbours (gguf_model.ts). */
export function inPairs(values: Float32Array, K: number, columns: number): Float32Array {
  const out = new Float32Array(values.length)
  for (let row = 0; row * columns < values.length; row++) {
    const inHead = row % K
    const from = row - inHead + (K / 2) * (inHead % 2) + Math.floor(inHead / 2)
    out.set(values.subarray(from * columns, (from + 1) * columns), row * columns)
  }
  return out
}

const ALIGNMENT = 32
const VERSION = 3
const MAGIC = 'GGUF'

/** The bytes of a file, in order. */
export async function* ggufFile(
  entries: ReadonlyMap<string, WrittenValue>,
  tensors: readonly WrittenTensor[],
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const header = new HeaderWriter()
  header.bytes(new TextEncoder().encode(MAGIC)).u32(VERSION).u64(tensors.length).u64(entries.size)
  for (const [key, value] of entries) header.text(key).value(value)
  let offset = 0
  for (const tensor of tensors) {
    const { name, format, shape } = tensor
    header.text(name).u32(shape.length)
    for (const size of shape.toReversed()) header.u64(size)
    header.u32(typeOf(format)[0]).u64(offset)
    offset += padded(bytesOf(tensor))
  }
  const head = header.finish()
  yield head
  yield new Uint8Array(padded(head.length) - head.length)
  for (const { format, read } of tensors) {
    const values = await read()
    const bytes = values instanceof Uint8Array ? values : encode(format as Format, values)
    yield bytes
    yield new Uint8Array(padded(bytes.length) - bytes.length)
  }
}

/** Float32 numbers as the bytes of a type; those of a quantised one are whole blocks. */
export function encode(format: Format, values: Float32Array): Uint8Array<ArrayBuffer> {
  if (format === 'F32') return new Uint8Array(values.slice().buffer)
  if (format === 'F16') return new Uint8Array(narrowToF16(values).buffer as ArrayBuffer)
  const [, { numbers, bytes }] = typeOf(format)
  const blocks = values.length / numbers
  const each = format === 'Q4_1' ? 2 : 1
  const factors = new Float32Array(blocks * each) // d, or d and m, of every block
  const out = new Uint8Array(blocks * bytes)
  const block = blockEncoders[format]
  for (let i = 0; i < blocks; i++)
    factors.set(block(values, i * numbers, out, i * bytes + 2 * each), i * each)
  const halves = narrowToF16(factors)
  for (const [i, half] of halves.entries()) {
    const at = Math.floor(i / each) * bytes + 2 * (i % each)
    out[at] = half & 255
    out[at + 1] = half >> 8
  }
  return out
}

const { fround } = Math
const BLOCK = 32

/** Writes the integers of the block of `x` at `at` to `out` from `to` on; returns d, and m if the type has one. */
type BlockEncoder = (x: Float32Array, at: number, out: Uint8Array, to: number) => readonly number[]

/** Integers one a byte. */
const encodeQ8_0: BlockEncoder = (x, at, out, to) => {
  let largest = 0
  for (let i = 0; i < BLOCK; i++) largest = Math.max(largest, Math.abs(x[at + i]))
  const d = fround(largest / 127)
  const inverse = d === 0 ? 0 : fround(1 / d)
  for (let i = 0; i < BLOCK; i++) {
    const scaled = fround(x[at + i] * inverse)
    const size = Math.floor(Math.abs(scaled) + 0.5)
    out[to + i] = scaled < 0 ? -size : size
  }
  return [d]
}

/** Integers two a byte: the first half of the numbers in the low bits. */
function packPairs(out: Uint8Array, to: number, quantized: (i: number) => number): void {
  for (let i = 0; i < BLOCK / 2; i++) out[to + i] = quantized(i) | (quantized(i + BLOCK / 2) << 4)
}

const encodeQ4_0: BlockEncoder = (x, at, out, to) => {
  let largest = 0 // with its sign; the first of several
  for (let i = 0; i < BLOCK; i++) if (Math.abs(x[at + i]) > Math.abs(largest)) largest = x[at + i]
  const d = fround(largest / -8)
  const inverse = d === 0 ? 0 : fround(1 / d)
  packPairs(out, to, (i) => Math.min(15, Math.floor(fround(fround(x[at + i] * inverse) + 8.5))))
  return [d]
}

const encodeQ4_1: BlockEncoder = (x, at, out, to) => {
  const numbers = x.subarray(at, at + BLOCK)
  const m = Math.min(...numbers)
  const d = fround(fround(Math.max(...numbers) - m) / 15)
  const inverse = d === 0 ? 0 : fround(1 / d)
  packPairs(out, to, (i) => Math.min(15, Math.floor(fround(fround(fround(numbers[i] - m) * inverse) + 0.5))))
  return [d, m]
}

const blockEncoders = { Q8_0: encodeQ8_0, Q4_0: encodeQ4_0, Q4_1: encodeQ4_1 }

function typeOf(format: string): readonly [code: number, type: GgufType] {
  return [...ggufTypes].find(([, { name }]) => name === format) as [number, GgufType]
}

function numbersOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

function padded(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT
}

/** The codes of the types of values. */
const [U32, I32, F32, BOOLEAN, TEXT, ARRAY] = [4, 5, 6, 7, 8, 9]

/** The header, one value after the other. */
class HeaderWriter {
  readonly #parts: Uint8Array[] = []

  bytes(bytes: Uint8Array): this {
    this.#parts.push(bytes)
    return this
  }

  u32(value: number): this {
    return this.bytes(new Uint8Array(Uint32Array.of(value).buffer))
  }

  u64(value: number): this {
    return this.bytes(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer))
  }

  text(text: string): this {
    const bytes = new TextEncoder().encode(text)
    return this.u64(bytes.length).bytes(bytes)
  }

  /** The type of a value, and the value. */
  value(value: WrittenValue): this {
    if (typeof value === 'string') return this.u32(TEXT).text(value)
    if (typeof value === 'boolean') return this.u32(BOOLEAN).bytes(Uint8Array.of(Number(value)))
    if (value instanceof Uint8Array) return this.bytes(value)
    if ('u32' in value) return this.u32(U32).u32(value.u32)
    if ('f32' in value) return this.u32(F32).numbers(Float32Array.of(value.f32))
    this.u32(ARRAY)
    if (ArrayBuffer.isView(value))
      return this.u32(value instanceof Int32Array ? I32 : F32)
        .u64(value.length)
        .numbers(value)
    this.u32(TEXT).u64(value.length)
    for (const text of value) this.text(text)
    return this
  }

  numbers({ buffer, byteOffset, byteLength }: Int32Array | Float32Array): this {
    return this.bytes(new Uint8Array(buffer, byteOffset, byteLength))
  }

  finish(): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(this.#parts.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const part of this.#parts) {
      out.set(part, at)
      at += part.length
    }
    return out
  }
}
