/**
 * float32, in which nothing is rounded.
 */
import { floatStorage } from './floats.ts'
import type { StorageRecord } from './storage.ts'

/** The storage. */
export const float32: StorageRecord<'f32'> = floatStorage({
  name: 'f32',
  dtype: 'f32',
  words: 'float32, nothing is rounded',
  infiniteFrom: Infinity,
  inFile: 'F32',
})
