/**
 * SHA-256, which identifies a file by its content, and CRC-32, the checksum of entries in zip archives.
 */
import { builtin, hostProcess, type ModuleTypes } from './builtin.ts'
import { openRange } from './files.ts'
import { PlatformError } from './platform_error.ts'

/** SHA-256 of bytes, or of a text in UTF-8, as 64 hexadecimal digits. */
export function sha256(content: Uint8Array<ArrayBuffer> | string): Promise<string> {
  return hexDigest('SHA-256', typeof content === 'string' ? new TextEncoder().encode(content) : content)
}

/**
 * A checksum of bytes that are in memory, in hexadecimal digits.
 * @throws PlatformError in a page that is not a secure context (HTTPS or localhost)
 */
export async function hexDigest(algorithm: 'SHA-1' | 'SHA-256', bytes: BufferSource): Promise<string> {
  if (globalThis.crypto?.subtle === undefined) throw new PlatformError('checksums', 'a page by HTTPS')
  const digest = await crypto.subtle.digest(algorithm, bytes)
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** An incremental checksum. */
export interface RunningHash {
  update(bytes: Uint8Array): void
  /** The checksum in hexadecimal. Nothing can be added after it. */
  digest(): string
}

/** Starts a checksum. SHA-1 is for the hashes of git only. */
export function startHash(algorithm: 'sha1' | 'sha256'): RunningHash {
  const hash = builtin('node:crypto').createHash(algorithm)
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest('hex') }
}

/** SHA-256 of a file of any size, read in parts. */
export async function sha256File(path: string): Promise<string> {
  const partLength = 2 ** 22
  const hash = startHash('sha256')
  const file = await openRange(path)
  try {
    for (let offset = 0; offset < file.size; offset += partLength) {
      hash.update(await file.read(offset, Math.min(partLength, file.size - offset)))
    }
  } finally {
    await file.close()
  }
  return hash.digest()
}

/**
 * CRC-32 as zip has it (polynomial 0xEDB88320, reflected), continued from `start`: the checksum of a + b is
 * crc32(b, crc32(a)).
 */
export function crc32(bytes: Uint8Array, start = 0): number {
  return nativeCrc32 ? nativeCrc32(bytes, start) : portableCrc32(bytes, start)
}

// Node's is ten times as fast; some runtimes do not have it.
const nativeCrc32: ((bytes: Uint8Array, start: number) => number) | undefined =
  hostProcess === null ? undefined : (builtin('node:zlib') as Partial<ModuleTypes['node:zlib']>).crc32

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb88320 : 0)
  return remainder
})

/** `crc32` in plain TypeScript, for runtimes without a native one. */
export function portableCrc32(bytes: Uint8Array, start = 0): number {
  let crc = ~start
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff]
  return ~crc >>> 0
}
