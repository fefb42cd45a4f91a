/**
 * The store of the files and results of jobs: bytes by name, where a name is a SHA-256 in hexadecimal.
 *
 * An input is named by its own hash, a result by the key of its job. A file begins with the line `shadowllm-shard 1` and
 * the SHA-256 of what follows, which is checked on every read. A writer never changes an existing file: a second writer has
 * the same bytes. A `StorePlace` holds the files: a folder that machines share, or a bucket.
 */
import { refusal } from '../io/refusal.ts'
import { sha256 } from '../platform/platform.ts'
import { checkHash } from './job.ts'

/** Files by name, in a folder or a bucket. The store checks names before it passes them on. */
export interface StorePlace {
  /** Its name for people. */
  readonly name: string
  /** Whether there is a file; it may be damaged. */
  has(name: string): Promise<boolean>
  /** A file, or null. */
  read(name: string): Promise<Uint8Array | null>
  /** Writes a file, completely or not at all. */
  write(name: string, bytes: Uint8Array): Promise<void>
  /** Removes a file, if there is one. */
  remove(name: string): Promise<void>
  close(): Promise<void>
}

/** See the head of this file. */
export class JobStore {
  readonly place: StorePlace

  constructor(place: StorePlace) {
    this.place = place
  }

  /** Whether there is a file of this name; it may be damaged. @throws InputError SHARD_FORMAT for an invalid name */
  async has(name: string): Promise<boolean> {
    return this.place.has(checkHash(name))
  }

  /**
   * The bytes under a name; null if there are none.
   * @throws InputError SHARD_DAMAGED for a damaged file, SHARD_FORMAT for an invalid name
   */
  async read(name: string): Promise<Uint8Array | null> {
    const file = await this.place.read(checkHash(name))
    return file && unwrap(file, `${this.place.name} ${name}`)
  }

  /**
   * An input, whose name is its own hash: whoever may write into the place could have put other bytes under it.
   * @throws as `read`; InputError SHARD_DAMAGED for other bytes
   */
  async readInput(name: string): Promise<Uint8Array | null> {
    const bytes = await this.read(name)
    if (bytes === null || (await hashOf(bytes)) === name) return bytes
    const subject = `${this.place.name} ${name}`
    throw refusal('SHARD_DAMAGED', subject, 'the bytes that it is the hash of', 'others')
  }

  /** The bytes under a name, but a damaged file is removed and counts as missing. */
  async readOrRemove(name: string): Promise<Uint8Array | null> {
    try {
      return await this.read(name)
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'SHARD_DAMAGED') throw error
      await this.place.remove(name)
      return null
    }
  }

  /** Stores the result of a job under its key. @throws InputError SHARD_FORMAT for an invalid name */
  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.place.write(checkHash(name), await wrap(bytes))
  }

  /** Stores an input under its own hash, unless it is there. @returns the hash */
  async add(bytes: Uint8Array): Promise<string> {
    const name = await hashOf(bytes)
    if ((await this.readOrRemove(name)) === null) await this.write(name, bytes)
    return name
  }

  /** Closes the place. */
  close(): Promise<void> {
    return this.place.close()
  }
}

/** A store in memory. */
export function memoryStore(): JobStore {
  const files = new Map<string, Uint8Array>()
  return new JobStore({
    name: 'memory',
    has: async (name) => files.has(name),
    read: async (name) => files.get(name) ?? null,
    write: async (name, bytes) => void files.set(name, bytes),
    remove: async (name) => void files.delete(name),
    close: async () => files.clear(),
  })
}

const mark = 'shadowllm-shard 1 '
/** The mark, 64 digits, a line feed. */
const headLength = mark.length + 65

/** The SHA-256 of bytes; shared memory is copied first. */
function hashOf(bytes: Uint8Array): Promise<string> {
  return sha256(bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice())
}

async function wrap(bytes: Uint8Array): Promise<Uint8Array> {
  const file = new Uint8Array(headLength + bytes.length)
  new TextEncoder().encodeInto(`${mark}${await hashOf(bytes)}\n`, file)
  file.set(bytes, headLength)
  return file
}

async function unwrap(file: Uint8Array, subject: string): Promise<Uint8Array> {
  const bytes = file.slice(headLength)
  const head = new TextDecoder().decode(file.subarray(0, headLength))
  if (head === `${mark}${await hashOf(bytes)}\n`) return bytes
  throw refusal('SHARD_DAMAGED', subject, 'the bytes that were written', 'bytes with another checksum')
}
