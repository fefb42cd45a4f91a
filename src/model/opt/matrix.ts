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

/** Chosen rows of a matrix, side by side, in a matrix of their own that lives as long as the scope. */
export function gatherRows(
  scope: BufferScope,
  { weight }: Matrix, // [O, I]
  rows: Buffer, // [R] i32
  I: number,
): Matrix {
  return { weight: gatherNumbers(scope, weight, rows, I) }
}

/** Chosen rows of a matrix and their biases. */
export function gatherLinear(
  scope: BufferScope,
  linear: Linear, // [O, I], [O]
  rows: Buffer, // [R] i32
  I: number,
): Linear {
  return { ...gatherRows(scope, linear, rows, I), bias: gatherNumbers(scope, linear.bias, rows, 1) }
}

function gatherNumbers(scope: BufferScope, x: Buffer, rows: Buffer, I: number): Buffer {
  const y = scope.allocate(rows.length * I)
  scope.backend.ops.gather_rows(y, x, rows, x.length / I, I, rows.length)
  return y
}
