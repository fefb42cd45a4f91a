/**
 * A weight matrix as a model holds it, whatever its numbers are stored as.
 *
 * The storage is the buffer's own element type; int8 has a scale for each row beside it. Ops take a matrix as it is, and its
 * storage chooses the kernel. Here is how one is made and how its rows are moved.
 */
import type { Backend, Buffer, StoredBuffer } from '../backends/backend.ts'
import type { BufferScope } from '../backends/buffer_scope.ts'
import { scalesOf, valuesOf } from '../backends/calls.ts'
import type { Dtype } from '../ops/op.ts'

/**
 * What weights may be stored as: float32; its upper half (bf16); half precision (f16), which holds what a checkpoint in
 * half precision says without loss; int8 with a float32 scale per row, used with activations of 16 bits.
 */
export const storages = ['f32', 'bf16', 'f16', 'int8'] as const
export type Storage = (typeof storages)[number]

const dtypes: Readonly<Record<Storage, Dtype>> = { f32: 'f32', bf16: 'bf16', f16: 'f16', int8: 'i8' }

/** Bytes of one number in a buffer. */
const numberBytes: Readonly<Record<Dtype, number>> = { f32: 4, i32: 4, bf16: 2, f16: 2, i8: 1, i4: 1 }

/** A matrix [rows, columns], one row per output or one per input; of int8 with scales [rows]. */
export type Matrix = StoredBuffer

/** A matrix and what is added after it, if anything is. */
export interface Linear {
  readonly weight: Matrix
  readonly bias: Buffer | null // [O]
}

/** What a matrix is stored as. */
export function storageIn(matrix: Matrix): Storage {
  return storages.find((storage) => dtypes[storage] === valuesOf(matrix).dtype) as Storage
}

// ---- How one is made ------------------------------------------------------------------------------------------

/** A matrix, or a vector, of zeros, or of anything for callers that write all of it; it lives as long as the scope. */
export function makeMatrix(
  scope: BufferScope,
  storage: Storage,
  shape: readonly number[],
  contents: 'zeros' | 'anything' = 'zeros',
): Matrix {
  const values = scope.allocate(dtypes[storage], shape, contents)
  return storage === 'int8' ? { values, scales: scope.allocate('f32', [shape[0]], contents) } : values
}

/** Stores whole rows, from row `first` on: rounded to the matrix's storage. */
export function storeRows(
  backend: Backend,
  matrix: Matrix,
  x: Buffer, // [rows, columns] f32
  first: number,
): void {
  const [rows, columns] = x.shape
  const values = valuesOf(matrix)
  const to = backend.view(values, x.shape, first * columns)
  const scales = scalesOf(matrix)
  if (scales) backend.ops.quantize_rows(to, backend.view(scales, [rows], first), x)
  else if (values.dtype === 'f32') backend.write(to, backend.readF32(x))
  else backend.ops.narrow(to, x)
}

/** A matrix of these numbers that lives as long as the scope. @param values [rows, columns], finite */
export function matrixOf(
  scope: BufferScope,
  storage: Storage,
  values: Float32Array,
  rows: number,
  columns: number,
): Matrix {
  const x = scope.upload(values, [rows, columns])
  if (storage === 'f32') return x
  const matrix = makeMatrix(scope, storage, x.shape)
  storeRows(scope.backend, matrix, x, 0)
  scope.free(x)
  return matrix
}

/** A matrix of so many rows, stored as another is and as wide, that lives as long as the scope. */
export function likeMatrix(scope: BufferScope, matrix: Matrix, rows: number): Matrix {
  const { shape } = valuesOf(matrix)
  return makeMatrix(scope, storageIn(matrix), [rows, ...shape.slice(1)], 'anything')
}

/** Bytes a matrix takes. */
export function matrixBytes(matrix: Matrix): number {
  return [valuesOf(matrix), scalesOf(matrix)].reduce(
    (sum, part) => sum + (part ? part.length * numberBytes[part.dtype] : 0),
    0,
  )
}

/** Bytes of a matrix of this size in this storage. */
export function storedBytes(storage: Storage, rows: number, columns: number): number {
  return rows * columns * numberBytes[dtypes[storage]] + (storage === 'int8' ? 4 * rows : 0)
}

/** Bytes of a row of a matrix. */
export function rowBytes(matrix: Matrix): number {
  const [, columns] = valuesOf(matrix).shape
  return columns * numberBytes[valuesOf(matrix).dtype] + (scalesOf(matrix) ? 4 : 0)
}

// ---- Its rows -------------------------------------------------------------------------------------------------

/** A view of the rows of a matrix, or of a vector, from `start` on. */
export function matrixRows(backend: Backend, matrix: Matrix, count: number, start = 0): Matrix {
  const rows = (part: Buffer): Buffer => {
    const [whole, ...rest] = part.shape
    return backend.view(part, [count, ...rest], whole === 0 ? 0 : (start * part.length) / whole)
  }
  const scales = scalesOf(matrix)
  return scales ? { values: rows(valuesOf(matrix)), scales: rows(scales) } : rows(valuesOf(matrix))
}

/**
 * Copies rows of one matrix, or vector, into another of the same storage.
 * @param slots where they go: null for the first ones in order
 */
export function copyRows(
  backend: Backend,
  to: Matrix,
  from: Matrix,
  slots: Buffer | null, // [R] i32
  rows: Buffer, // [R] i32
): void {
  const asRows = (part: Buffer): Buffer =>
    part.shape.length === 1 ? backend.view(part, [part.length, 1]) : part
  backend.ops.copy_rows(asRows(valuesOf(to)), asRows(valuesOf(from)), slots, rows)
  const [toScales, fromScales] = [scalesOf(to), scalesOf(from)]
  if (toScales && fromScales) backend.ops.copy_rows(asRows(toScales), asRows(fromScales), slots, rows)
}
