/**
 * int8: a float32 scale for each row. Products round activations to int16 (`src/ops/quantized_steps.ts`).
 */
import { embedding_i8 } from '../../ops/embedding.ts'
import { linear_i8 } from '../../ops/linear_i8.ts'
import { linear_input_major_i8 } from '../../ops/linear_input_major_i8.ts'
import { dequantizeRows, quantizeRows } from '../../tensor/dtypes.ts'
import { rowStorage } from './rows.ts'
import { plainMatrix, type StorageRecord } from './storage.ts'

/** The storage. */
export const int8: StorageRecord<'int8'> = rowStorage({
  name: 'int8',
  words: 'int8 with a scale for each row, used with activations of 16 bits',
  dtype: 'i8',
  roundsActivations: true,
  infiniteFrom: Infinity,
  inFile: null,
  hasScales: true,
  round: ({ ops }, x, values, scales) => ops.quantize_rows(values, scales, x),
  openRows(numbers, scales, columns) {
    const values = new Float32Array(columns)
    return (row) => {
      for (let i = 0; i < columns; i++) values[i] = scales[row] * numbers[row * columns + i]
      return values
    }
  },
  plainRows(x) {
    const [N, M] = x.shape
    const rows = quantizeRows(x.data, N, M)
    const { values, scales } = rows
    return plainMatrix(
      x.shape,
      (y, x, bias, T) => linear_i8(y, x, values, scales, bias, null, T, N, M, N),
      (y, x, bias, T) => linear_input_major_i8(y, x, values, scales, bias, null, T, M, N, N),
      (y, ids) => embedding_i8(y, values, scales, ids, ids.length, N, M),
      () => dequantizeRows(rows),
    )
  },
})
