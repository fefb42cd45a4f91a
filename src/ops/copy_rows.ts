/**
 * copy_rows: rows of one matrix take places in another, whose other rows stay. This is how the weights of the units a
 * sequence keeps are packed, and how they follow a mask that changes. Rows may be stored in any kind of numbers; they are
 * copied as they are. The scales of int8 rows are copied by a call of their own, as rows of one number; int4 rows of units
 * are rows of bytes, and those of outputs, which lie four side by side, have an op of their own (copy_interleaved_rows.ts).
 *
 *   y[slots[r]] = x[rows[r]]      slots are 0, 1, 2, ... where there is no list of them
 */
import {
  accumulator,
  arrayTypes,
  defineStoredOp,
  ids,
  input,
  size,
  stored,
  type Dtype,
  type Numbers,
  type Op,
  type StorageDescription,
} from './op.ts'

/** Copies R rows. */
export function copy_rows(
  y: Numbers, // [S, I]
  x: Numbers, // [O, I]
  slots: Int32Array | null, // [R], in [0, S)
  rows: Int32Array, // [R], in [0, O)
  _S: number,
  _O: number,
  I: number,
  R: number,
): void {
  for (let r = 0; r < R; r++) y.set(x.subarray(rows[r] * I, (rows[r] + 1) * I), (slots ? slots[r] : r) * I)
}

function inStorage(storage: Dtype): StorageDescription<Parameters<typeof copy_rows>> {
  return {
    formula: 'y[slots[r]] = x[rows[r]]',
    reference: copy_rows,
    flops: () => 0,
    bytes: ({ I, R }) => 2 * arrayTypes[storage].BYTES_PER_ELEMENT * R * I + 8 * R,
  }
}

/** Op definition. */
export const copyRowsOp: Op<
  [y: Numbers, x: Numbers, slots: Int32Array | null, rows: Int32Array],
  {
    f32: typeof copy_rows
    bf16: typeof copy_rows
    f16: typeof copy_rows
    i8: typeof copy_rows
    i4: typeof copy_rows
  }
> = defineStoredOp(
  'copy_rows',
  [
    stored(accumulator('y', 'S I')),
    stored(input('x', 'O I')),
    { ...ids('slots', 'R', 'S'), optional: true },
    ids('rows', 'R', 'O'),
    size('S', 'R'),
    size('O', 1),
    size('I'),
    size('R'),
  ],
  {
    f32: inStorage('f32'),
    bf16: inStorage('bf16'),
    f16: inStorage('f16'),
    i8: inStorage('i8'),
    i4: inStorage('i4'),
  },
)
