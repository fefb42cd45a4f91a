/**
 * Reads the container format of llama.cpp: GGUF, versions 2 and 3, little-endian.
 *
 *   "GGUF", version u32, tensors u64, entries u64
 *   entries:  key, type u32, value;   a text is its length u64 and UTF-8; an array its element type u32, its length u64 and its values
 *   tensors:  name, dimensions u32, sizes u64 (the fastest first), type u32, offset u64
 *   data:     from the next multiple of the alignment on; each tensor begins at a multiple of it
 *
 * Invariants, all checked before a number is read: every count and length fits in what is left of the file; no key and no
 * name twice; sizes and offsets are exact integers, and rows consist of whole blocks; tensors cover the data exactly once,
 * but for the padding between them. So the memory of this reader is bounded by a multiple of the header's size, which is
 * bounded itself, and nothing in a file is executed.
 *
 * What the entries and tensors mean is read by gguf_model.ts and gguf_tokenizer.ts.
 */
import type { InputError } from '../tensor/errors.ts'
import { readUnchanged, type RangedFile } from './files.ts'
import { describeGgufType, ggufTypes, type GgufType } from './gguf_blocks.ts'
import { decodeUtf8 } from './json.ts'
import { quote, refusal, refuseTensor } from './refusal.ts'
import { checkTensorName } from './tensor_name.ts'

/** The value of an entry. Integers past 2^53 - 1 are refused where they are used. */
export type GgufValue = number | bigint | boolean | string | readonly string[] | GgufNumbers

/** An array of numbers; one of booleans has 0 and 1. */
export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | BigUint64Array
  | BigInt64Array
  | Float64Array

/** A tensor as the file describes it. */
export interface GgufTensor {
  readonly name: string
  readonly type: GgufType
  /** Sizes, row-major as everywhere in this project; the file lists them in reverse. */
  readonly shape: readonly number[]
  /** The place of its blocks in the file, in bytes. */
  readonly start: number
  readonly byteLength: number
}

/** The header of a file. */
export interface GgufHeader {
  readonly entries: ReadonlyMap<string, GgufValue>
  /** Where each entry has its type and value, in bytes. */
  readonly places: ReadonlyMap<string, readonly [start: number, end: number]>
  readonly tensors: ReadonlyMap<string, GgufTensor>
}

/** The largest header. A vocabulary of 256,000 tokens takes 10 MB. */
const MAX_HEADER = 2 ** 26
/** The first read of the header, in bytes; a longer header is read again, twice as far each time. */
const FIRST_READ = 2 ** 22
const MAX_ENTRIES = 65_536
const MAX_TENSORS = 100_000
const MAX_TENSOR_DIMENSIONS = 4
/** The smallest entry and the smallest description of a tensor, in bytes. */
const [LEAST_ENTRY, LEAST_TENSOR] = [8 + 4 + 1, 8 + 4 + 4 + 8]
const MAX_ALIGNMENT = 2 ** 16
const DEFAULT_ALIGNMENT = 32
/** "GGUF" read as a little-endian integer. */
const MAGIC = 0x46554747

/**
 * Reads the header of an open file.
 * @param name of the file, in errors
 * @throws InputError GGUF_*, TENSOR_NAME, TENSOR_OVERFLOW, and as `readUnchanged`
 */
export async function readGgufHeader(file: RangedFile, name: string): Promise<GgufHeader> {
  for (let length = FIRST_READ; ; length *= 2) {
    const limit = Math.min(file.size, MAX_HEADER)
    const bytes = await readUnchanged(file, 0, Math.min(length, limit), name)
    const cursor = new Cursor(bytes, file.size, name)
    try {
      return parseHeader(cursor, file.size)
    } catch (error) {
      if (!(error instanceof NeedsMore)) throw error
      if (bytes.length === limit) throw limitError(file, name, error.at)
    }
  }
}

function limitError(file: RangedFile, name: string, byteOffset: number): InputError {
  const [code, expected] =
    file.size > MAX_HEADER
      ? ['GGUF_HEADER_LIMIT', `a header of at most ${MAX_HEADER} bytes`]
      : ['GGUF_TRUNCATED', `a header within the ${file.size} bytes of the file`]
  return refusal(code, name, expected, 'a longer one', { byteOffset })
}

/** The header goes on past the bytes that were read. */
class NeedsMore extends Error {
  readonly at: number

  constructor(at: number) {
    super('more bytes')
    this.at = at
  }
}

/** Reads numbers and texts one after the other. */
class Cursor {
  readonly name: string
  readonly #bytes: Uint8Array<ArrayBuffer>
  readonly #view: DataView
  readonly #fileSize: number
  at = 0

  constructor(bytes: Uint8Array<ArrayBuffer>, fileSize: number, name: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#fileSize = fileSize
    this.name = name
  }

  refuse(code: string, expected: string, got: string, at = this.at): InputError {
    return refusal(code, this.name, expected, got, { byteOffset: at })
  }

  /** The next `length` bytes begin here. */
  take(length: number): number {
    const start = this.at
    if (length > this.#bytes.length - start) throw new NeedsMore(start)
    this.at = start + length
    return start
  }

  u32(): number {
    return this.#view.getUint32(this.take(4), true)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.take(8), true)
  }

  /**
   * A number of things that take `least` bytes each.
   * @throws InputError GGUF_COUNT if they do not fit in the rest of the file, or are too many
   */
  count(what: string, least: number, most = Infinity): number {
    const start = this.at
    const count = this.u64()
    const room = Math.floor((this.#fileSize - this.at) / least)
    const fits = Math.min(most, room)
    if (count <= BigInt(fits)) return Number(count)
    if (fits === room)
      throw this.refuse(
        'GGUF_COUNT',
        `${count} ${what}`,
        `room for ${room}: the file ends early, or is damaged`,
        start,
      )
    throw this.refuse('GGUF_COUNT', `at most ${fits} ${what}`, `${count}`, start)
  }

  text(what: string): string {
    const length = this.count(`bytes of ${what}`, 1)
    const start = this.take(length)
    const text = decodeUtf8(this.#bytes.subarray(start, start + length))
    if (text !== null) return text
    throw this.refuse('GGUF_TEXT', `UTF-8 in ${what}`, 'other bytes', start)
  }

  /** Numbers of a type, copied. */
  numbers(type: NumberType, count: number): GgufNumbers {
    const length = count * type.BYTES_PER_ELEMENT
    const start = this.take(length)
    return new type(this.#bytes.slice(start, start + length).buffer)
  }
}

/** The array of a type of numbers. Files are little-endian, and so is this host (src/tensor/dtypes.ts). */
interface NumberType {
  readonly BYTES_PER_ELEMENT: number
  new (buffer: ArrayBuffer): GgufNumbers
}

const numberTypes: ReadonlyMap<number, NumberType> = new Map<number, NumberType>([
  [0, Uint8Array],
  [1, Int8Array],
  [2, Uint16Array],
  [3, Int16Array],
  [4, Uint32Array],
  [5, Int32Array],
  [6, Float32Array],
  [10, BigUint64Array],
  [11, BigInt64Array],
  [12, Float64Array],
])
const [BOOLEAN, TEXT, ARRAY] = [7, 8, 9]

function parseHeader(cursor: Cursor, fileSize: number): GgufHeader {
  checkStart(cursor, fileSize)
  const tensorCount = cursor.count('tensors', LEAST_TENSOR, MAX_TENSORS)
  const entryCount = cursor.count('entries', LEAST_ENTRY, MAX_ENTRIES)
  const entries = new Map<string, GgufValue>()
  const places = new Map<string, readonly [number, number]>()
  for (let i = 0; i < entryCount; i++) {
    const start = cursor.at
    const key = cursor.text('a key')
    if (entries.has(key)) throw cursor.refuse('GGUF_KEY', 'every key once', `${quote(key)} twice`, start)
    const begin = cursor.at
    entries.set(key, readValue(cursor, key))
    places.set(key, [begin, cursor.at])
  }
  const alignment = alignmentOf(entries, cursor)
  const described: Described[] = []
  const names = new Set<string>()
  for (let i = 0; i < tensorCount; i++) {
    const tensor = readTensor(cursor)
    if (names.has(tensor.name))
      throw refuseTensor('GGUF_TENSOR', cursor.name, tensor.name, 'every tensor once', 'two of this name')
    names.add(tensor.name)
    described.push(tensor)
  }
  return { entries, places, tensors: placeTensors(described, cursor, alignment, fileSize) }
}

function checkStart(cursor: Cursor, fileSize: number): void {
  if (fileSize < 4 || cursor.u32() !== MAGIC)
    throw cursor.refuse(
      'GGUF_MAGIC',
      '"GGUF" at the start',
      fileSize === 0 ? 'an empty file' : 'other bytes',
      0,
    )
  const version = cursor.u32()
  if (version === 2 || version === 3) return
  const isSwapped = version === 0x02000000 || version === 0x03000000
  const got = isSwapped ? 'a big-endian file' : `version ${version}`
  throw cursor.refuse('GGUF_VERSION', 'little-endian GGUF of version 2 or 3', got, 4)
}

function readValue(cursor: Cursor, key: string): GgufValue {
  const start = cursor.at
  const code = cursor.u32()
  if (code === TEXT) return cursor.text(quote(key))
  if (code === BOOLEAN) return checkBoolean(cursor, key, cursor.numbers(Uint8Array, 1)[0] as number) === 1
  if (code === ARRAY) return readArray(cursor, key)
  const type = numberTypes.get(code)
  if (type) return cursor.numbers(type, 1)[0]
  throw cursor.refuse('GGUF_VALUE', `a known type of ${quote(key)}`, `${code}`, start)
}

function readArray(cursor: Cursor, key: string): GgufValue {
  const start = cursor.at
  const code = cursor.u32()
  const what = `values of ${quote(key)}`
  if (code === TEXT) {
    const texts: string[] = []
    for (let left = cursor.count(what, 8); left > 0; left--) texts.push(cursor.text(what))
    return texts
  }
  const type = code === BOOLEAN ? Uint8Array : numberTypes.get(code)
  if (!type) {
    const got = code === ARRAY ? 'arrays' : `type ${code}`
    throw cursor.refuse('GGUF_VALUE', `numbers, texts or booleans in ${quote(key)}`, got, start)
  }
  const values = cursor.numbers(type, cursor.count(what, type.BYTES_PER_ELEMENT))
  if (code === BOOLEAN) for (const value of values) checkBoolean(cursor, key, value as number)
  return values
}

function checkBoolean(cursor: Cursor, key: string, value: number): number {
  if (value <= 1) return value
  throw cursor.refuse('GGUF_VALUE', `0 or 1 as a boolean of ${quote(key)}`, `${value}`)
}

function alignmentOf(entries: ReadonlyMap<string, GgufValue>, cursor: Cursor): number {
  const value = entries.get('general.alignment') ?? DEFAULT_ALIGNMENT
  const isPower =
    typeof value === 'number' && value >= 8 && value <= MAX_ALIGNMENT && Number.isInteger(Math.log2(value))
  if (isPower) return value
  throw cursor.refuse('GGUF_ALIGNMENT', `a power of two from 8 to ${MAX_ALIGNMENT}`, describeGguf(value))
}

/** A value in an error message. */
export function describeGguf(value: GgufValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return quote(value)
  return typeof value === 'object' ? `a list of ${value.length}` : String(value)
}

type Described = Omit<GgufTensor, 'start'> & { readonly offset: bigint }

/** @throws InputError GGUF_TYPE for an element type that is not known */
function readTensor(cursor: Cursor): Described {
  const name = cursor.text('the name of a tensor')
  checkTensorName(name, cursor.name)
  const refuse = (code: string, expected: string, got: string): InputError =>
    refuseTensor(code, cursor.name, name, expected, got)
  const dimensions = cursor.u32()
  if (dimensions < 1 || dimensions > MAX_TENSOR_DIMENSIONS)
    throw refuse('GGUF_SHAPE', `1 to ${MAX_TENSOR_DIMENSIONS} dimensions`, `${dimensions}`)
  const sizes = Array.from({ length: dimensions }, () => cursor.u64())
  const code = cursor.u32()
  const offset = cursor.u64()
  const type = ggufTypes.get(code)
  if (!type) {
    const known = [...ggufTypes.values()].map((one) => one.name).join(', ')
    throw refuse('GGUF_TYPE', `one of ${known}`, describeGgufType(code))
  }
  if (sizes.includes(0n)) throw refuse('GGUF_SHAPE', 'sizes from 1', `[${sizes.join(', ')}]`)
  const count = sizes.reduce((product, size) => product * size, 1n)
  const bytes = (count * BigInt(type.bytes)) / BigInt(type.numbers)
  if (sizes[0] % BigInt(type.numbers) !== 0n) {
    const expected = `rows of whole blocks of ${type.numbers} for ${type.name}`
    throw refuse('GGUF_SHAPE', expected, `rows of ${sizes[0]}`)
  }
  // float32 takes four bytes a number, whatever the file takes.
  if (4n * count > BigInt(Number.MAX_SAFE_INTEGER))
    throw refuse('TENSOR_OVERFLOW', 'a size of at most 2^53 - 1 bytes', `[${sizes.join(', ')}]`)
  return { name, type, shape: sizes.map(Number).toReversed(), byteLength: Number(bytes), offset }
}

/** Finds every tensor in the data, which begins after the header. Every byte belongs to one tensor or is padding. */
function placeTensors(
  described: readonly Described[],
  { at, name }: Cursor,
  alignment: number,
  fileSize: number,
): Map<string, GgufTensor> {
  const padded = (length: number): number => Math.ceil(length / alignment) * alignment
  const data = padded(at)
  const starts = new Map<string, number>()
  let expected = 0
  let end = at
  for (const tensor of described.toSorted((a, b) =>
    a.offset < b.offset ? -1 : a.offset > b.offset ? 1 : 0,
  )) {
    if (tensor.offset !== BigInt(expected)) {
      const code = tensor.offset < BigInt(expected) ? 'GGUF_OVERLAP' : 'GGUF_HOLE'
      const place = `an offset of ${expected}, after the previous tensor`
      throw refuseTensor(code, name, tensor.name, place, `${tensor.offset}`)
    }
    starts.set(tensor.name, data + expected)
    end = data + expected + tensor.byteLength
    if (end > fileSize) {
      const got = `${end}: the file is cut`
      throw refuseTensor('GGUF_TRUNCATED', name, tensor.name, `an end by ${fileSize}`, got)
    }
    expected = padded(expected + tensor.byteLength)
  }
  if (fileSize > padded(end))
    throw refusal('GGUF_TRAILING', name, `${padded(end)} bytes`, `${fileSize - padded(end)} more`)
  return new Map(
    described.map(({ name: tensor, type, shape, byteLength }) => [
      tensor,
      { name: tensor, type, shape, byteLength, start: starts.get(tensor) as number },
    ]),
  )
}
