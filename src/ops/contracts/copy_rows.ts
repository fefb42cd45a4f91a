/**
 * The contract of copy_rows: parameters, cost, gradients and bounds.
 */
import {
  type Dtype,
  type StorageDescription,
  arrayTypes,
  type Op,
  type Numbers,
  defineStoredOp,
  stored,
  accumulator,
  input,
  ids,
  size,
} from '../op.ts'
import { copy_rows } from '../copy_rows.ts'

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
