/**
 * quantize_rows: a matrix as int8 with one scale per row, as src/tensor/dtypes.ts quantizes a row.
 *
 *   scales[o] = largest |x[o]| / 127        y[o, i] = nearest(x[o, i] / scales[o]), a tie to the even one
 *
 * Rows are finite by contract: what loads weights refuses others.
 */
import { quantizeRow } from '../tensor/dtypes.ts'
import { defineOp, input, output, size, type PlainOp } from './op.ts'

/** y, scales = the rows of x in int8. */
export function quantize_rows(
  y: Int8Array, // [O, I]
  scales: Float32Array, // [O]
  x: Float32Array, // [O, I]
  O: number,
  I: number,
): void {
  for (let o = 0; o < O; o++)
    scales[o] = quantizeRow(y.subarray(o * I, (o + 1) * I), x.subarray(o * I, (o + 1) * I))
}

/** Op definition. */
export const quantizeRowsOp: PlainOp<typeof quantize_rows> = defineOp({
  name: 'quantize_rows',
  formula: 'scales[o] = largest |x[o]| / 127, y[o] = the integers nearest to x[o] / scales[o]',
  params: [
    output('y', 'O I', { dtype: 'i8' }),
    output('scales', 'O'),
    input('x', 'O I'),
    size('O'),
    size('I'),
  ],
  reference: quantize_rows,
  flops: ({ O, I }) => 3 * O * I,
})
