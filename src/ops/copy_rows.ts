/**
 * copy_rows: rows of one matrix take places in another, whose other rows stay. This is how the weights of the units a
 * sequence keeps are packed, and how they follow a mask that changes. Rows may be stored in any kind of numbers; they are
 * copied as they are.
 *
 *   y[slots[r]] = x[rows[r]]      slots are 0, 1, 2, ... where there is no list of them
 */
import {
  accumulator,
  arrayTypes,
  defineOp,
  ids,
  input,
  size,
  type Dtype,
  type Numbers,
  type Op,
} from './op.ts'

function copy(
  y: Numbers,
  x: Numbers,
  slots: Int32Array | null,
  rows: Int32Array,
  I: number,
  R: number,
): void {
  for (let r = 0; r < R; r++) y.set(x.subarray(rows[r] * I, (rows[r] + 1) * I), (slots ? slots[r] : r) * I)
}

/** Copies R rows. */
export function copy_rows(
  y: Float32Array, // [S, I]
  x: Float32Array, // [O, I]
  slots: Int32Array | null, // [R], in [0, S)
  rows: Int32Array, // [R], in [0, O)
  _S: number,
  _O: number,
  I: number,
  R: number,
): void {
  copy(y, x, slots, rows, I, R)
}

/** Copies R rows of bf16 patterns. */
export function copy_rows_bf16(
  y: Uint16Array, // [S, I]
  x: Uint16Array, // [O, I]
  slots: Int32Array | null, // [R], in [0, S)
  rows: Int32Array, // [R], in [0, O)
  _S: number,
  _O: number,
  I: number,
  R: number,
): void {
  copy(y, x, slots, rows, I, R)
}

/** Copies R rows of f16 patterns. */
export function copy_rows_f16(
  y: Uint16Array, // [S, I]
  x: Uint16Array, // [O, I]
  slots: Int32Array | null, // [R], in [0, S)
  rows: Int32Array, // [R], in [0, O)
  _S: number,
  _O: number,
  I: number,
  R: number,
): void {
  copy(y, x, slots, rows, I, R)
}

/** Copies R rows of int8 numbers; their scales are copied as rows of one number by `copy_rows`. */
export function copy_rows_i8(
  y: Int8Array, // [S, I]
  x: Int8Array, // [O, I]
  slots: Int32Array | null, // [R], in [0, S)
  rows: Int32Array, // [R], in [0, O)
  _S: number,
  _O: number,
  I: number,
  R: number,
): void {
  copy(y, x, slots, rows, I, R)
}

function rowOf<Args extends readonly unknown[]>(
  name: string,
  dtype: Dtype,
  reference: (...args: Args) => void,
): Op<Args> {
  return defineOp({
    name,
    formula: 'y[slots[r]] = x[rows[r]]',
    params: [
      accumulator('y', 'S I', { dtype }),
      input('x', 'O I', { dtype }),
      { ...ids('slots', 'R', 'S'), optional: true },
      ids('rows', 'R', 'O'),
      size('S', 'R'),
      size('O', 1),
      size('I'),
      size('R'),
    ],
    reference,
    flops: () => 0,
    bytes: ({ I, R }) => 2 * arrayTypes[dtype].BYTES_PER_ELEMENT * R * I + 8 * R,
  })
}

/** Catalogue row. */
export const copyRowsOp: Op<Parameters<typeof copy_rows>> = rowOf('copy_rows', 'f32', copy_rows)

/** Catalogue row. */
export const copyRowsBf16Op: Op<Parameters<typeof copy_rows_bf16>> = rowOf(
  'copy_rows_bf16',
  'bf16',
  copy_rows_bf16,
)

/** Catalogue row. */
export const copyRowsF16Op: Op<Parameters<typeof copy_rows_f16>> = rowOf(
  'copy_rows_f16',
  'f16',
  copy_rows_f16,
)

/** Catalogue row. */
export const copyRowsI8Op: Op<Parameters<typeof copy_rows_i8>> = rowOf('copy_rows_i8', 'i8', copy_rows_i8)
