/**
 * Matrices stored in half precision, read as float32, a row at a time. Widening is exact, so an op over such a matrix is
 * the float32 op over the widened one, bit for bit; it has no other definition.
 */
import { widenBf16, widenF16 } from '../tensor/dtypes.ts'

/** A matrix whose rows can be read as float32. */
export interface StoredRows {
  /** Where opened rows are read. */
  readonly values: Float32Array
  /** Makes a row readable and says where in `values` it starts; it stays there until the next one is opened. */
  readonly open: (row: number) => number
}

/** Rows that are float32 already. */
export function f32Rows(
  matrix: Float32Array, // [., width]
  width: number,
): StoredRows {
  return { values: matrix, open: (row) => row * width }
}

/** Rows of bf16 patterns. */
export function bf16Rows(
  matrix: Uint16Array, // [., width]
  width: number,
): StoredRows {
  return widenedRows(matrix, width, widenBf16)
}

/** Rows of f16 patterns. */
export function f16Rows(
  matrix: Uint16Array, // [., width]
  width: number,
): StoredRows {
  return widenedRows(matrix, width, widenF16)
}

function widenedRows(matrix: Uint16Array, width: number, widen: typeof widenBf16): StoredRows {
  const values = new Float32Array(width)
  const open = (row: number): number => {
    widen(matrix.subarray(row * width, (row + 1) * width), values)
    return 0
  }
  return { values, open }
}
