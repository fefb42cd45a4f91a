/**
 * The contract of copy_rows: parameters, cost, gradients and bounds.
 */
import {
  accumulator,
  arrayTypes,
  defineStoredOp,
  ids,
  input,
  size,
  sizes,
  stored,
  type Dtype,
  type StorageDescription,
  type Op,
  type Numbers,
} from '../op.ts'
import { copy_rows } from '../copy_rows.ts'
import { recordOf } from '../../tensor/records.ts'

/** What the numbers of a matrix may be. */
export type MatrixDtype = Exclude<Dtype, 'i32'>
const dtypes = (Object.keys(arrayTypes) as Dtype[]).filter((dtype): dtype is MatrixDtype => dtype !== 'i32')

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
  Record<MatrixDtype, typeof copy_rows>
> = defineStoredOp(
  'copy_rows',
  [
    stored(accumulator('y', 'S I')),
    stored(input('x', 'O I')),
    { ...ids('slots', 'R', 'S'), optional: true },
    ids('rows', 'R', 'O'),
    size('S', 'R'),
    size('O', 1),
    ...sizes('I R'),
  ],
  recordOf(dtypes, inStorage),
)
