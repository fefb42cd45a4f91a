/**
 * bfloat16, the upper half of float32.
 */
import { narrowToBf16, widenBf16 } from '../../tensor/halves.ts'
import { floatStorage } from './floats.ts'
import type { StorageRecord } from './storage.ts'

/** The storage. */
export const bfloat16: StorageRecord<'bf16'> = floatStorage(
  {
    name: 'bf16',
    dtype: 'bf16',
    words: 'the upper half of float32',
    infiniteFrom: 2 ** 128 - 2 ** 119,
    inFile: 'BF16',
  },
  narrowToBf16,
  widenBf16,
)
