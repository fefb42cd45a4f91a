/**
 * Element types of files, and the conversions between them and float32.
 *
 * Widening F16 and BF16 to float32 is exact, bit patterns of NaN included. Narrowing rounds to nearest, ties to even;
 * a NaN keeps the part of its payload that fits. Int8 rows carry one scale each. Everything is little-endian, in
 * files and in memory: this file throws on a big-endian host when it is loaded.
 */
import { InputError, MissingError } from './errors.ts'
import { shownName } from './quote.ts'
import { patternsOf, widenBf16, widenF16 } from './halves.ts'

if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1)
  throw new MissingError('BIG_ENDIAN_HOST', 'host: expected little-endian, got big-endian')

/** Bytes of one element, by element type. */
const bytesPerElement = {
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
} as const

/** Element types of checkpoints; weights have one of the first four. */
export type SourceDtype = keyof typeof bytesPerElement

/** Whether a name is that of an element type. The names of files are untrusted. */
export function isSourceDtype(name: unknown): name is SourceDtype {
  return typeof name === 'string' && Object.hasOwn(bytesPerElement, name)
}

/** Bytes of one element of a known type. */
export function elementSize(dtype: SourceDtype): number {
  return bytesPerElement[dtype]
}

// ---- Arrays ---------------------------------------------------------------------------------------------------

/** Of each float type: the exponent's bits in a word of 32, and what carries out of them where they are all ones. */
const exponents: ReadonlyMap<SourceDtype, readonly [bits: number, one: number]> = new Map([
  ['F32', [0x7f800000, 0x00800000]],
  ['F16', [0x7c007c00, 0x04000400]],
  ['BF16', [0x7f807f80, 0x00800080]],
])

/** Words checked at once. */
const AT_ONCE = 1024

/**
 * The place of the first NaN or infinity among stored numbers, -1 if there is none.
 * @param dtype F32 for float32, F16 or BF16 for their patterns
 */
export function findNonFinite(dtype: SourceDtype, values: Float32Array | Uint16Array): number {
  const [bits, one] = exponents.get(dtype) as readonly [number, number]
  const half = values instanceof Uint16Array
  const signs = half ? 0x80008000 : 0x80000000
  const patterns = half ? values : patternsOf(values)
  // Two aligned halves are checked in one word; an odd one at the end is checked alone.
  const isWords = values.byteOffset % 4 === 0
  const words = isWords
    ? new Int32Array(values.buffer, values.byteOffset, values.byteLength >>> 2)
    : new Int32Array(0)
  const perWord = half ? 2 : 1
  for (let start = 0; start < words.length; start += AT_ONCE) {
    const end = Math.min(words.length, start + AT_ONCE)
    let carried = 0
    for (let i = start; i < end; i++) carried |= (words[i] & bits) + one
    if ((carried & signs) !== 0) return firstOf(patterns, perWord * start, bits & (half ? 0xffff : -1))
  }
  return firstOf(patterns, perWord * words.length, bits & (half ? 0xffff : -1))
}

/** The first pattern from `start` on whose exponent is all ones. */
function firstOf(patterns: Uint16Array | Uint32Array, start: number, exponent: number): number {
  for (let i = start; i < patterns.length; i++) if ((patterns[i] & exponent) === exponent) return i
  return -1
}

// ---- Stored bytes ---------------------------------------------------------------------------------------------

/** Bytes aligned to `size`-byte elements: the same memory if it is aligned already. */
function aligned(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice()
}

/** @throws InputError DTYPE unless the type is F64, F32, F16 or BF16. */
export function checkFloat(dtype: SourceDtype, tensor: string): void {
  if (['F64', 'F32', 'F16', 'BF16'].includes(dtype)) return
  throw new InputError('DTYPE', `${shownName(tensor)}: expected a float type, got ${dtype}`, { tensor })
}

/**
 * Stored floats as float32; F64 is rounded. The result may share memory with `bytes`. Half precision is written to the start of
 * `into` if that is given and long enough.
 * @throws InputError DTYPE if the type is not a float.
 */
export function decodeFloats(
  dtype: SourceDtype,
  bytes: Uint8Array,
  tensor: string,
  into?: Float32Array,
): Float32Array {
  const size = elementSize(dtype)
  const { buffer, byteOffset, byteLength } = aligned(bytes, size)
  const count = byteLength / size
  checkFloat(dtype, tensor)
  const out = into && into.length >= count ? into.subarray(0, count) : undefined
  if (dtype === 'F16') return widenF16(new Uint16Array(buffer, byteOffset, count), out)
  if (dtype === 'BF16') return widenBf16(new Uint16Array(buffer, byteOffset, count), out)
  if (dtype === 'F64') return Float32Array.from(new Float64Array(buffer, byteOffset, count))
  return new Float32Array(buffer, byteOffset, count)
}

/**
 * Stored integers (BOOL is 0 or 1) as int32.
 * @throws InputError DTYPE if the type is not an integer, VALUE_RANGE if a value does not fit.
 */
export function decodeIntegers(dtype: SourceDtype, bytes: Uint8Array, tensor: string): Int32Array {
  const refuse = (code: string, place: string, expected: string, got: unknown): InputError =>
    new InputError(code, `${shownName(tensor)}${place}: expected ${expected}, got ${got}`, { tensor })
  const size = elementSize(dtype)
  const { buffer, byteOffset, byteLength } = aligned(bytes, size)
  const count = byteLength / size
  switch (dtype) {
    case 'I64':
      return Int32Array.from(new BigInt64Array(buffer, byteOffset, count), (value, i) => {
        if (BigInt.asIntN(32, value) === value) return Number(value)
        throw refuse('VALUE_RANGE', `[${i}]`, 'a 32-bit integer', value)
      })
    case 'I32':
      return new Int32Array(buffer, byteOffset, count)
    case 'I16':
      return Int32Array.from(new Int16Array(buffer, byteOffset, count))
    case 'I8':
      return Int32Array.from(new Int8Array(buffer, byteOffset, count))
    case 'U8':
      return Int32Array.from(bytes)
    case 'BOOL':
      return Int32Array.from(bytes, (value, i) => {
        if (value <= 1) return value
        throw refuse('VALUE_RANGE', `[${i}]`, '0 or 1', value)
      })
    default:
      throw refuse('DTYPE', '', 'an integer type', dtype)
  }
}

// ---- Int8 rows ------------------------------------------------------------------------------------------------

/** Int8 with one scale per row: value = scale[row] * quantized[row, column]. */
export interface QuantizedRows {
  readonly rows: number
  readonly columns: number
  readonly values: Int8Array // [rows, columns], -127 to 127
  readonly scales: Float32Array // [rows]
}

/** Adding and subtracting it rounds a float32 below 2^22 to the nearest integer, ties to even. */
const ROUNDER = 12_582_912

/** The largest float32 that times 127 is still finite. */
const MAX_SCALE = 2.6793883890187504e36

/** The whole number of steps nearest to x, ties to even, at most `most` either way; each operation rounded to float32. */
export function nearestStep(x: number, step: number, most: number): number {
  const { fround, max, min } = Math
  return max(-most, min(most, fround(fround(fround(x / step) + ROUNDER) - ROUNDER)))
}

/**
 * Quantizes one row by its largest absolute value and returns its scale: scale = largest / 127, value = nearest(x /
 * scale), each step rounded to float32. A row of zeros has scale 0, and one that is not finite NaN; their values are 0.
 */
export function quantizeRow(
  values: Int8Array, // as long as x
  x: Float32Array,
): number {
  let largest = 0
  for (const value of x) largest = Math.max(largest, Math.abs(value))
  const scale = largest < Infinity ? Math.min(Math.fround(largest / 127), MAX_SCALE) : NaN
  // A subnormal scale is itself rounded, so a quotient may pass 127.
  for (let i = 0; i < x.length; i++) values[i] = scale > 0 ? nearestStep(x[i], scale, 127) : 0
  return scale
}

/**
 * Quantizes each row.
 * @throws InputError VALUE_NOT_FINITE for a NaN or an infinity.
 */
export function quantizeRows(x: Float32Array, rows: number, columns: number): QuantizedRows {
  const values = new Int8Array(rows * columns)
  const scales = new Float32Array(rows)
  for (let row = 0; row < rows; row++) {
    const [start, end] = [row * columns, (row + 1) * columns]
    const bad = x.subarray(start, end).find((value) => !Number.isFinite(value))
    if (bad !== undefined)
      throw new InputError('VALUE_NOT_FINITE', `row ${row}: expected finite numbers, got ${bad}`)
    scales[row] = quantizeRow(values.subarray(start, end), x.subarray(start, end))
  }
  return { rows, columns, values, scales }
}

/** The float32 values that quantized rows stand for. */
export function dequantizeRows({ rows, columns, values, scales }: QuantizedRows): Float32Array {
  const out = new Float32Array(rows * columns) // [rows, columns]
  for (let row = 0; row < rows; row++)
    for (let i = row * columns; i < (row + 1) * columns; i++) out[i] = scales[row] * values[i]
  return out
}
