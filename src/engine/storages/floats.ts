/**
 * Storages of floats that are widened to float32 before use, which is exact.
 */
import { embedding } from '../../ops/embedding.ts'
import { linear } from '../../ops/linear.ts'
import { linear_input_major } from '../../ops/linear_input_major.ts'
import { matrix } from '../../spec/plain.ts'
import { narrowToBf16, narrowToF16, storedRows, type FloatStorage } from '../../tensor/halves.ts'
import { rowStorage } from './rows.ts'
import { plainMatrix, type StorageRecord } from './storage.ts'

/** What the op narrow computes; a backend rounds by it, and any other rounding is the host's. */
const byOp: readonly unknown[] = [narrowToBf16, narrowToF16]

/** A storage of floats of an element type. @param narrow and `widen`: of half precision */
export function floatStorage<Name extends string>(
  own: Pick<StorageRecord<Name>, 'name' | 'words' | 'infiniteFrom' | 'inFile'> & {
    readonly dtype: FloatStorage
  },
  narrow?: (x: Float32Array) => Uint16Array,
  widen?: (w: Uint16Array) => Float32Array,
): StorageRecord<Name> {
  const { dtype } = own
  return rowStorage({
    ...own,
    roundsActivations: false,
    hasScales: false,
    round: narrow
      ? (backend, x, values) => {
          if (byOp.includes(narrow)) backend.ops.narrow(values, x)
          else backend.write(values, narrow(backend.readF32(x)))
        }
      : null,
    openRows(numbers, _, columns) {
      const { values, open } = storedRows(numbers as Float32Array | Uint16Array, columns, dtype)
      return (row) => {
        const at = open(row)
        return values.subarray(at, at + columns)
      }
    },
    plainRows(x) {
      if (!narrow || !widen) return matrix(x)
      const [N, M] = x.shape
      const w = narrow(x.data)
      return plainMatrix(
        x.shape,
        (y, x, bias, T) => linear(y, x, w, bias, null, T, N, M, N, dtype),
        (y, x, bias, T) => linear_input_major(y, x, w, bias, null, T, M, N, N, dtype),
        (y, ids) => embedding(y, w, ids, ids.length, N, M, dtype),
        () => widen(w),
      )
    },
  })
}
