/**
 * Arrays of the public API: users pass and get `ndarray`s (or nested lists of ids). Internally they are flat typed arrays
 * with a shape.
 */
import ndarray from 'ndarray'
import { describeValue, isList, isObject } from './arguments.ts'
import { UsageError } from './errors.ts'

/** A float32 tensor with its shape. */
export type FloatArray = ndarray.NdArray<Float32Array>

/** Token ids of one sequence, as users pass them. */
export type Ids = ArrayLike<number>

/** Ids or a mask of several sequences of equal length: rows of numbers, or an ndarray [B, T]. */
export type IdTable = readonly Ids[] | ndarray.NdArray<ndarray.TypedArray | number[]>

/** A flat table with its size. */
export interface Table {
  readonly B: number
  readonly T: number
  readonly values: Int32Array // [B, T]
}

/** An ndarray over numbers, without a copy. */
export function asNdarray(values: Float32Array, shape: number[]): FloatArray {
  return ndarray(values, shape)
}

/**
 * Ids of one sequence.
 * @throws UsageError TOKENS for a value that is no whole number of 32 bits
 */
export function readIds(ids: Ids, name: string): Int32Array {
  if (!isList(ids)) throw new UsageError('TOKENS', `${name}: expected ids, got ${describeValue(ids)}`)
  return Int32Array.from(ids, (id, i) => wholeNumber(id, `${name}[${i}]`))
}

/**
 * Ids of a batch.
 * @throws UsageError BATCH_SHAPE unless all rows have the same length of at least one; TOKENS as `readIds`
 */
export function readIdTable(table: IdTable, name: string): Table {
  const refuse = (got: string): UsageError =>
    new UsageError('BATCH_SHAPE', `${name}: expected [B, T], got ${got}`)
  if (!isObject(table)) throw refuse(describeValue(table))
  const rows = 'shape' in table ? ndarrayRows(table, refuse) : table
  if (!Array.isArray(rows)) throw refuse(describeValue(rows))
  const odd = rows.findIndex((row) => !isList(row))
  if (odd !== -1) throw refuse(`${describeValue(rows[odd])} as a row`)
  const B = rows.length
  const T = rows[0]?.length ?? 0
  const uneven = rows.find((row) => row.length !== T)
  if (B === 0 || T === 0 || uneven !== undefined)
    throw refuse(uneven ? `rows of ${T} and of ${uneven.length}` : `[${B}, ${T}]`)
  const values = new Int32Array(B * T)
  rows.forEach((row, b) => values.set(readIds(row, `${name}[${b}]`), b * T))
  return { B, T, values }
}

function ndarrayRows(table: ndarray.NdArray, refuse: (got: string) => UsageError): Ids[] {
  if (!Array.isArray(table.shape) || typeof table.get !== 'function') throw refuse('an object')
  if (table.shape.length !== 2) throw refuse(`[${table.shape.join(', ')}]`)
  const [B, T] = table.shape
  return Array.from({ length: B }, (_, b) => Array.from({ length: T }, (__, t) => Number(table.get(b, t))))
}

function wholeNumber(value: unknown, name: string): number {
  if (typeof value === 'number' && value === (value | 0)) return value
  throw new UsageError('TOKENS', `${name}: expected a whole number, got ${describeValue(value)}`)
}
