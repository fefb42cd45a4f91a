/**
 * float16, which holds what a checkpoint in half precision says without loss.
 */
import { narrowToF16, widenF16 } from '../../tensor/halves.ts'
import { floatStorage } from './floats.ts'
import type { StorageRecord } from './storage.ts'

/** The storage. */
export const float16: StorageRecord<'f16'> = floatStorage(
  { name: 'f16', dtype: 'f16', words: 'half precision', infiniteFrom: 65_520, inFile: 'F16' },
  narrowToF16,
  widenF16,
)
