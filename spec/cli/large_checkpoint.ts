/**
 * A checkpoint that takes a while to write: zeros that take no room until they are written.
 */
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Makes it in a folder, with so many bytes of values. @returns its path */
export function largeCheckpoint(folder: string, bytes: number): string {
  const path = join(folder, 'large.safetensors')
  const header = `{"x":{"dtype":"U8","shape":[${bytes}],"data_offsets":[0,${bytes}]}}`
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  writeFileSync(path, Buffer.concat([length, Buffer.from(header)]))
  truncateSync(path, 8 + header.length + bytes)
  return path
}
