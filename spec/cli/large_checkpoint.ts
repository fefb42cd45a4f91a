/**
 * A large checkpoint of zeros, as a sparse file: it takes no space on the disk, but its conversion takes a while.
 */
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Makes the checkpoint in a folder. @returns its path */
export function largeCheckpoint(folder: string, bytes: number): string {
  const path = join(folder, 'large.safetensors')
  const header = `{"x":{"dtype":"U8","shape":[${bytes}],"data_offsets":[0,${bytes}]}}`
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  writeFileSync(path, Buffer.concat([length, Buffer.from(header)]))
  truncateSync(path, 8 + header.length + bytes)
  return path
}
