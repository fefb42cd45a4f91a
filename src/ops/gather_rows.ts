/**
 * gather_rows: chosen rows of a matrix, one after the other: how the rows of the units that a mask keeps are packed. The
 * rows may be stored in any kind of numbers; they are copied as they are.
 *
 *   y[r] = x[rows[r]]
 */
import { arrayTypes, chosen, defineOp, input, output, size, type Dtype, type Numbers, type Op } from './op.ts'

function gather(y: Numbers, x: Numbers, rows: Int32Array, I: number, R: number): void {
  for (let r = 0; r < R; r++) y.set(x.subarray(rows[r] * I, (rows[r] + 1) * I), r * I)
}

/** Copies chosen rows. */
export function gather_rows(
  y: Float32Array, // [R, I]
  x: Float32Array, // [O, I]
  rows: Int32Array, // [R], ascending, below O
  _O: number,
  I: number,
  R: number,
): void {
  gather(y, x, rows, I, R)
}

/** Copies chosen rows of bf16 patterns. */
export function gather_rows_bf16(
  y: Uint16Array, // [R, I]
  x: Uint16Array, // [O, I]
  rows: Int32Array, // [R], ascending, below O
  _O: number,
  I: number,
  R: number,
): void {
  gather(y, x, rows, I, R)
}

/** Copies chosen rows of f16 patterns. */
export function gather_rows_f16(
  y: Uint16Array, // [R, I]
  x: Uint16Array, // [O, I]
  rows: Int32Array, // [R], ascending, below O
  _O: number,
  I: number,
  R: number,
): void {
  gather(y, x, rows, I, R)
}

/** Copies chosen rows of int8 numbers; their scales are gathered as rows of one number by `gather_rows`. */
export function gather_rows_i8(
  y: Int8Array, // [R, I]
  x: Int8Array, // [O, I]
  rows: Int32Array, // [R], ascending, below O
  _O: number,
  I: number,
  R: number,
): void {
  gather(y, x, rows, I, R)
}

function rowOf<Args extends readonly unknown[]>(
  name: string,
  dtype: Dtype,
  reference: (...args: Args) => void,
): Op<Args> {
  return defineOp({
    name,
    formula: 'y[r] = x[rows[r]]',
    params: [
      output('y', 'R I', { dtype }),
      input('x', 'O I', { dtype }),
      chosen('rows', 'R', 'O', false),
      size('O'),
      size('I'),
      size('R'),
    ],
    reference,
    flops: () => 0,
    bytes: ({ I, R }) => 2 * arrayTypes[dtype].BYTES_PER_ELEMENT * R * I + 4 * R,
  })
}

/** Catalogue row. */
export const gatherRowsOp: Op<Parameters<typeof gather_rows>> = rowOf('gather_rows', 'f32', gather_rows)

/** Catalogue row. */
export const gatherRowsBf16Op: Op<Parameters<typeof gather_rows_bf16>> = rowOf(
  'gather_rows_bf16',
  'bf16',
  gather_rows_bf16,
)

/** Catalogue row. */
export const gatherRowsF16Op: Op<Parameters<typeof gather_rows_f16>> = rowOf(
  'gather_rows_f16',
  'f16',
  gather_rows_f16,
)

/** Catalogue row. */
export const gatherRowsI8Op: Op<Parameters<typeof gather_rows_i8>> = rowOf(
  'gather_rows_i8',
  'i8',
  gather_rows_i8,
)
