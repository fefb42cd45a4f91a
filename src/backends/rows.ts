/**
 * The first rows of a buffer that has room for more of them.
 */
import type { Backend, Buffer } from './backend.ts'

/** The first rows of a buffer: itself where that is all of them. */
export function firstRows(backend: Backend, buffer: Buffer, count: number): Buffer {
  const [rows, ...rest] = buffer.shape
  return rows === count ? buffer : backend.view(buffer, [count, ...rest])
}
