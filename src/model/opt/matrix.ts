/**
 * A weight matrix as a model holds it, whatever its numbers are stored as, and what a pass does with one.
 *
 * The storage is the buffer's own element type, and each use is the op of that storage: one definition per storage and
 * use in src/ops, chosen here and nowhere else.
 */
import type { Backend, Buffer } from '../../backends/backend.ts'
import type { BufferScope } from '../../backends/buffer_scope.ts'
import type { UnitList } from './unit_lists.ts'

/** A matrix, one row per output or one per input. */
export interface Matrix {
  readonly weight: Buffer // [rows, columns]
}

/** A matrix and what is added after it. */
export interface Linear extends Matrix {
  readonly bias: Buffer // [O]
}

/** y = x weightᵀ + bias over chosen rows; +0 for the others. */
export function applyRows(
  backend: Backend,
  y: Buffer, // [T, O]
  x: Buffer, // [T, I]
  { weight }: Matrix, // [O, I]
  bias: Buffer | null, // [O]
  rows: UnitList,
  T: number,
  O: number,
  I: number,
): void {
  backend.ops.linear(y, x, weight, bias, rows.list, T, O, I, rows.count)
}

/** y = x weight + bias over chosen inputs, added in order. */
export function applyInputs(
  backend: Backend,
  y: Buffer, // [T, O]
  x: Buffer, // [T, I]
  { weight }: Matrix, // [I, O]
  bias: Buffer | null, // [O]
  inputs: UnitList,
  T: number,
  O: number,
  I: number,
): void {
  backend.ops.linear_input_major(y, x, weight, bias, inputs.list, T, O, I, inputs.count)
}

/** y[t] = table[ids[t]]. */
export function lookUp(
  backend: Backend,
  y: Buffer, // [T, D]
  { weight }: Matrix, // [V, D]
  ids: Buffer, // [T] i32
  T: number,
  V: number,
  D: number,
): void {
  backend.ops.embedding(y, weight, ids, T, V, D)
}

/** Bytes of a row of I numbers. */
export function rowBytes(_matrix: Matrix, I: number): number {
  return 4 * I
}

/** A matrix of R rows of I numbers, stored as another is, and as long-lived as the scope. */
export function likeMatrix(scope: BufferScope, { weight }: Matrix, R: number, I: number): Matrix {
  return { weight: scope.allocate(R * I, weight.dtype) }
}

/** Where rows are copied: list of places, null for the first ones in order; and the rows, of the matrix they are from. */
export interface RowMoves {
  readonly slots: Buffer | null // [R] i32
  readonly rows: Buffer // [R] i32
}

/** Copies rows of I numbers from one matrix into another of the same storage. */
export function copyRows(backend: Backend, to: Matrix, from: Matrix, moves: RowMoves, I: number): void {
  copyNumbers(backend, to.weight, from.weight, moves, I)
}

/** Copies numbers, one for each row, from one list of them into another. */
export function copyNumbers(
  backend: Backend,
  to: Buffer, // [S, I]
  from: Buffer, // [O, I]
  { slots, rows }: RowMoves,
  I: number,
): void {
  backend.ops.copy_rows(to, from, slots, rows, to.length / I, from.length / I, I, rows.length)
}
