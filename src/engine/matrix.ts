/**
 * A weight matrix as a model holds it, whatever its numbers are stored as, and what a pass does with one.
 *
 * The storage is the buffer's own element type; int8 has a scale for each row beside it. Each use is the op of that
 * storage: one definition per storage and use in src/ops, chosen here and nowhere else.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import type { BufferScope } from '../backends/buffer_scope.ts'
import type { Dtype } from '../ops/op.ts'
import type { UnitList } from './unit_lists.ts'

/**
 * What weights may be stored as: float32; its upper half (bf16); half precision (f16), which holds what a checkpoint in
 * half precision says without loss; int8 with a float32 scale per row, used with activations of 16 bits.
 */
export const storages = ['f32', 'bf16', 'f16', 'int8'] as const
export type Storage = (typeof storages)[number]

const dtypes: Readonly<Record<Storage, Dtype>> = { f32: 'f32', bf16: 'bf16', f16: 'f16', int8: 'i8' }

/** Bytes of one number in a buffer. */
const numberBytes: Readonly<Record<Dtype, number>> = { f32: 4, i32: 4, bf16: 2, f16: 2, i8: 1 }

/** What a matrix is stored as. */
export function storageIn({ weight }: Matrix): Storage {
  return storages.find((storage) => dtypes[storage] === weight.dtype) as Storage
}

/** A matrix, one row per output or one per input. */
export interface Matrix {
  readonly weight: Buffer // [rows, columns]
  /** What the numbers of each row are multiplied by, where they are int8. */
  readonly scales: Buffer | null // [rows]
}

/** A matrix and what is added after it. */
export interface Linear extends Matrix {
  readonly bias: Buffer // [O]
}

// ---- What a pass does with one --------------------------------------------------------------------------------

/** y = x weightᵀ + bias over chosen rows; +0 for the others. */
export function applyRows(
  { ops }: Backend,
  y: Buffer, // [T, O]
  x: Buffer, // [T, I]
  { weight, scales }: Matrix, // [O, I]
  bias: Buffer | null, // [O]
  { list, count }: UnitList,
  T: number,
  O: number,
  I: number,
): void {
  if (scales) return ops.linear_i8(y, x, weight, scales, bias, list, T, O, I, count)
  if (weight.dtype === 'bf16') return ops.linear_bf16(y, x, weight, bias, list, T, O, I, count)
  if (weight.dtype === 'f16') return ops.linear_f16(y, x, weight, bias, list, T, O, I, count)
  ops.linear(y, x, weight, bias, list, T, O, I, count)
}

/** y = x weight + bias over chosen inputs, added in order. */
export function applyInputs(
  { ops }: Backend,
  y: Buffer, // [T, O]
  x: Buffer, // [T, I]
  { weight, scales }: Matrix, // [I, O]
  bias: Buffer | null, // [O]
  { list, count }: UnitList,
  T: number,
  O: number,
  I: number,
): void {
  if (scales) return ops.linear_input_major_i8(y, x, weight, scales, bias, list, T, O, I, count)
  if (weight.dtype === 'bf16') return ops.linear_input_major_bf16(y, x, weight, bias, list, T, O, I, count)
  if (weight.dtype === 'f16') return ops.linear_input_major_f16(y, x, weight, bias, list, T, O, I, count)
  ops.linear_input_major(y, x, weight, bias, list, T, O, I, count)
}

/** y[t] = table[ids[t]]. */
export function lookUp(
  { ops }: Backend,
  y: Buffer, // [T, D]
  { weight, scales }: Matrix, // [V, D]
  ids: Buffer, // [T] i32
  T: number,
  V: number,
  D: number,
): void {
  if (scales) return ops.embedding_i8(y, weight, scales, ids, T, V, D)
  if (weight.dtype === 'bf16') return ops.embedding_bf16(y, weight, ids, T, V, D)
  if (weight.dtype === 'f16') return ops.embedding_f16(y, weight, ids, T, V, D)
  ops.embedding(y, weight, ids, T, V, D)
}

// ---- How one is made ------------------------------------------------------------------------------------------

/** A matrix of zeros, or of anything for who writes all of it, that lives as long as the scope. */
export function makeMatrix(
  scope: BufferScope,
  storage: Storage,
  rows: number,
  columns: number,
  contents: 'zeros' | 'anything' = 'zeros',
): Matrix {
  const weight = scope.allocate(rows * columns, dtypes[storage], contents)
  return { weight, scales: storage === 'int8' ? scope.allocate(rows, 'f32', contents) : null }
}

/** y = xᵀ, of float32 or of patterns of half precision. */
export function transpose(
  { ops }: Backend,
  y: Buffer, // [I, O]
  x: Buffer, // [O, I]
  O: number,
  I: number,
): void {
  if (x.dtype === 'bf16') return ops.transpose_bf16(y, x, O, I)
  if (x.dtype === 'f16') return ops.transpose_f16(y, x, O, I)
  ops.transpose(y, x, O, I)
}

/** Stores whole rows of float32 numbers, from row `first` on: rounded to the matrix's storage. */
export function storeRows(
  backend: Backend,
  { weight, scales }: Matrix,
  x: Buffer, // [rows, columns] f32
  first: number,
  rows: number,
  columns: number,
): void {
  const { ops } = backend
  const to = backend.slice(weight, first * columns, rows * columns)
  if (scales) ops.quantize_rows(to, backend.slice(scales, first, rows), x, rows, columns)
  else if (weight.dtype === 'bf16') ops.narrow_bf16(to, x, rows * columns)
  else if (weight.dtype === 'f16') ops.narrow_f16(to, x, rows * columns)
  else backend.write(to, backend.readF32(backend.slice(x, 0, rows * columns)))
}

/** A matrix of these numbers that lives as long as the scope. @param values [rows, columns], finite */
export function matrixOf(
  scope: BufferScope,
  storage: Storage,
  values: Float32Array,
  rows: number,
  columns: number,
): Matrix {
  if (storage === 'f32') return { weight: scope.upload(values), scales: null }
  const matrix = makeMatrix(scope, storage, rows, columns)
  const x = scope.upload(values)
  storeRows(scope.backend, matrix, x, 0, rows, columns)
  scope.free(x)
  return matrix
}

/** A matrix of any R rows of I numbers, stored as another is, that lives as long as the scope. */
export function likeMatrix(scope: BufferScope, { weight, scales }: Matrix, R: number, I: number): Matrix {
  return {
    weight: scope.allocate(R * I, weight.dtype, 'anything'),
    scales: scales && scope.allocate(R, 'f32', 'anything'),
  }
}

/** Bytes a matrix takes. */
export function matrixBytes({ weight, scales }: Matrix): number {
  return weight.length * numberBytes[weight.dtype] + (scales ? 4 * scales.length : 0)
}

/** Bytes of a matrix of this size in this storage. */
export function storedBytes(storage: Storage, rows: number, columns: number): number {
  return rows * columns * numberBytes[dtypes[storage]] + (storage === 'int8' ? 4 * rows : 0)
}

/** Bytes of a row of I numbers. */
export function rowBytes({ weight, scales }: Matrix, I: number): number {
  return I * numberBytes[weight.dtype] + (scales ? 4 : 0)
}

// ---- Moving rows ----------------------------------------------------------------------------------------------

/** Where rows are copied: a list of places, null for the first ones in order; and the rows of what they are from. */
export interface RowMoves {
  readonly slots: Buffer | null // [R] i32
  readonly rows: Buffer // [R] i32
}

/** Copies rows of I numbers from one matrix into another of the same storage. */
export function copyRows(backend: Backend, to: Matrix, from: Matrix, moves: RowMoves, I: number): void {
  copyNumbers(backend, to.weight, from.weight, moves, I)
  if (to.scales && from.scales) copyNumbers(backend, to.scales, from.scales, moves, 1)
}

/** Copies rows of I numbers from one buffer into another of the same kind. */
export function copyNumbers(
  { ops }: Backend,
  to: Buffer, // [S, I]
  from: Buffer, // [O, I]
  { slots, rows }: RowMoves,
  I: number,
): void {
  const sizes = [to.length / I, from.length / I, I, rows.length] as const
  if (to.dtype === 'bf16') return ops.copy_rows_bf16(to, from, slots, rows, ...sizes)
  if (to.dtype === 'f16') return ops.copy_rows_f16(to, from, slots, rows, ...sizes)
  if (to.dtype === 'i8') return ops.copy_rows_i8(to, from, slots, rows, ...sizes)
  ops.copy_rows(to, from, slots, rows, ...sizes)
}
