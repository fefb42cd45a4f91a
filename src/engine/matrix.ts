/**
 * A weight matrix as a model holds it, whatever its numbers are stored as.
 *
 * The storage is the buffer's own element type; int8 has a scale for each row beside it, and int4 one of two layouts
 * (src/tensor/int4.ts). Ops take a matrix as it is, and its storage chooses the kernel. Here is how one is made and how
 * its rows are moved.
 */
import type { Backend, Buffer, Int4Buffer, StoredBuffer } from '../backends/backend.ts'
import type { BufferScope } from '../backends/buffer_scope.ts'
import { scalesOf, valuesOf } from '../backends/calls.ts'
import type { Dtype } from '../ops/op.ts'
import {
  BLOCK,
  BLOCK_BYTES,
  blocksOf,
  interleaveRows,
  QUAD_BYTES,
  quantizeBlocks,
  TILE,
  TILE_BYTES,
  turnBlocks,
} from '../tensor/int4.ts'

/**
 * What weights may be stored as: float32; its upper half (bf16); half precision (f16), which holds what a checkpoint in
 * half precision says without loss; int8 with a float32 scale per row, used with activations of 16 bits; int4 with a scale
 * and a minimum for each 32 numbers, used with activations of 8 bits.
 */
export const storages = ['f32', 'bf16', 'f16', 'int8', 'int4'] as const
export type Storage = (typeof storages)[number]

const dtypes: Readonly<Record<Storage, Dtype>> = {
  f32: 'f32',
  bf16: 'bf16',
  f16: 'f16',
  int8: 'i8',
  int4: 'i4',
}

/** Whether activations are rounded to whole numbers that meet these weights; such products have no gradient. */
export function roundsActivations(storage: Storage): boolean {
  return storage === 'int8' || storage === 'int4'
}

/** Bytes of one number in a buffer; of int4 those of two. */
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

/**
 * A matrix, or a vector, of zeros, or of anything for callers that write all of it; it lives as long as the scope. One of
 * int4 is made of its blocks instead.
 */
export function makeMatrix(
  scope: BufferScope,
  storage: Exclude<Storage, 'int4'>,
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

/** An int4 matrix with a row per output that lives as long as the scope. @param words its blocks, [O, B, 5] */
export function outputRows(scope: BufferScope, words: Uint32Array, O: number, I: number): Matrix {
  const B = blocksOf(I)
  return scope.upload(interleaveRows(words, O, B), [Math.ceil(O / 4), B, QUAD_BYTES], 'i4')
}

/** An int4 matrix with a row per input that lives as long as the scope. @param words its blocks, [O, B, 5] */
export function inputRows(scope: BufferScope, words: Uint32Array, O: number, I: number): Matrix {
  const { values, scales } = turnBlocks(words, O, I)
  const C = Math.ceil(O / TILE)
  return {
    values: scope.upload(values, [C, I, TILE_BYTES], 'i4'),
    scales: scope.upload(scales, [C, blocksOf(I), 2 * TILE]),
    blocks: scope.upload(blocksOfInputs(Int32Array.from({ length: I }, (_, i) => i))),
  }
}

/** The block of each of these inputs. */
export function blocksOfInputs(inputs: Int32Array): Int32Array {
  return inputs.map((i) => Math.floor(i / BLOCK))
}

/** Whether a matrix is int4 with a row per input. */
export function hasBlocks(matrix: Matrix): matrix is Int4Buffer {
  return 'blocks' in matrix
}

/** A matrix of these numbers that lives as long as the scope. @param values [rows, columns], finite */
export function matrixOf(
  scope: BufferScope,
  storage: Storage,
  values: Float32Array,
  rows: number,
  columns: number,
): Matrix {
  if (storage === 'int4') return outputRows(scope, quantizeBlocks(values, rows, columns), rows, columns)
  const x = scope.upload(values, [rows, columns])
  if (storage === 'f32') return x
  const matrix = makeMatrix(scope, storage, x.shape)
  storeRows(scope.backend, matrix, x, 0)
  scope.free(x)
  return matrix
}

/**
 * A matrix with room for so many rows, stored as another is and as wide, that lives as long as the scope. Rows of int4
 * inputs keep the scales of their blocks, which both share; whose blocks they are is said later (`matrixRows`).
 */
export function likeMatrix(scope: BufferScope, matrix: Matrix, rows: number): Matrix {
  const { dtype, shape } = valuesOf(matrix)
  if (hasBlocks(matrix))
    return { ...matrix, values: scope.allocate(dtype, [shape[0], rows, TILE_BYTES], 'anything') }
  if (dtype === 'i4') return scope.allocate(dtype, [Math.ceil(rows / 4), ...shape.slice(1)], 'anything')
  const storage = storageIn(matrix) as Exclude<Storage, 'int4'>
  return makeMatrix(scope, storage, [rows, ...shape.slice(1)], 'anything')
}

/** Bytes a matrix takes. */
export function matrixBytes(matrix: Matrix): number {
  const parts: Buffer[] = 'values' in matrix ? Object.values(matrix) : [matrix]
  return parts.reduce((sum, part) => sum + part.length * numberBytes[part.dtype], 0)
}

/** What a matrix has a row for. */
export type RowsOf = 'outputs' | 'inputs'

/** Bytes a matrix of this size would take in this storage. */
export function storedBytes(
  storage: Storage,
  rows: number,
  columns: number,
  rowsOf: RowsOf = 'outputs',
): number {
  const each = storedRowBytes(storage, columns, rowsOf)
  if (storage !== 'int4') return rows * each
  if (rowsOf === 'outputs') return 4 * Math.ceil(rows / 4) * each
  return rows * each + Math.ceil(columns / TILE) * blocksOf(rows) * 2 * TILE * numberBytes.f32
}

/** Bytes of one of its rows; of int4 inputs with the number of its block, without scales, which are no row's. */
export function storedRowBytes(storage: Storage, columns: number, rowsOf: RowsOf): number {
  if (storage !== 'int4')
    return columns * numberBytes[dtypes[storage]] + (storage === 'int8' ? numberBytes.f32 : 0)
  if (rowsOf === 'outputs') return blocksOf(columns) * BLOCK_BYTES
  return Math.ceil(columns / TILE) * TILE_BYTES + numberBytes.i32
}

/** Bytes of a row of a matrix; of int4 inputs without their scales, which are no row's. */
export function rowBytes(matrix: Matrix): number {
  const { dtype, shape } = valuesOf(matrix)
  if (hasBlocks(matrix)) return shape[0] * TILE_BYTES
  if (dtype === 'i4') return shape[1] * BLOCK_BYTES
  return shape[1] * numberBytes[dtype] + (scalesOf(matrix) ? 4 : 0)
}

// ---- Its rows -------------------------------------------------------------------------------------------------

/**
 * A view of the first rows of a matrix, or of a vector.
 * @param blocks of int4 inputs: the blocks of these rows
 */
export function matrixRows(
  backend: Backend,
  matrix: Matrix,
  count: number,
  blocks: Buffer | null = null, // [count] i32
): Matrix {
  if (hasBlocks(matrix)) return { ...matrix, blocks: blocks as Buffer }
  const rows = (part: Buffer): Buffer => {
    const [, ...rest] = part.shape
    return backend.view(part, [part.dtype === 'i4' ? Math.ceil(count / 4) : count, ...rest])
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
  const { ops } = backend
  const [toValues, fromValues] = [valuesOf(to), valuesOf(from)]
  if (hasBlocks(from))
    for (let tile = 0; tile < fromValues.shape[0]; tile++) {
      const rowsOfTile = (values: Buffer): Buffer => {
        const [, S] = values.shape
        return backend.view(values, [S, TILE_BYTES], tile * S * TILE_BYTES)
      }
      ops.copy_rows(rowsOfTile(toValues), rowsOfTile(fromValues), slots, rows)
    }
  else if (fromValues.dtype === 'i4')
    ops.copy_interleaved_rows(
      toValues,
      fromValues,
      slots,
      rows,
      4 * toValues.shape[0],
      4 * fromValues.shape[0],
    )
  else {
    const asRows = (part: Buffer): Buffer =>
      part.shape.length === 1 ? backend.view(part, [part.length, 1]) : part
    ops.copy_rows(asRows(toValues), asRows(fromValues), slots, rows)
    const [toScales, fromScales] = [scalesOf(to), scalesOf(from)]
    if (toScales && fromScales) ops.copy_rows(asRows(toScales), asRows(fromScales), slots, rows)
  }
}
