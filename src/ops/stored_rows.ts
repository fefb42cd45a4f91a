/**
 * Matrices of float32 or half precision, read as float32, a row at a time. Widening is exact, so an op over a matrix in half
 * precision is the float32 op over the widened one, bit for bit; it has no other definition.
 */
import { widenBf16, widenF16 } from '../tensor/halves.ts'

/** Storages whose numbers are read as they are, or widened. */
export type FloatStorage = 'f32' | 'bf16' | 'f16'

/** A matrix whose rows can be read as float32. */
export interface StoredRows {
  /** Where opened rows are read. */
  readonly values: Float32Array
  /** Makes a row readable and says where in `values` it starts; it stays there until the next one is opened. */
  readonly open: (row: number) => number
}

/** The rows of a matrix in a storage. */
export function storedRows(
  matrix: Float32Array | Uint16Array, // [., width]
  width: number,
  storage: FloatStorage,
): StoredRows {
  if (storage === 'f32') return { values: matrix as Float32Array, open: (row) => row * width }
  const widen = storage === 'bf16' ? widenBf16 : widenF16
  const values = new Float32Array(width)
  const open = (row: number): number => {
    widen((matrix as Uint16Array).subarray(row * width, (row + 1) * width), values)
    return 0
  }
  return { values, open }
}
