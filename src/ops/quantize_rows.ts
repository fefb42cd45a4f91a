/**
 * quantize_rows: a matrix as int8 with one scale per row, as src/tensor/dtypes.ts quantizes a row.
 *
 *   scales[o] = largest |x[o]| / 127        y[o, i] = nearest(x[o, i] / scales[o]), a tie to the even one
 *
 * Rows are finite by contract: what loads weights refuses others.
 */
import { quantizeRow } from '../tensor/dtypes.ts'

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
