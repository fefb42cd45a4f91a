/**
 * Where shards find their files and leave their results: bytes by name, and a name is a SHA-256 in hexadecimal.
 *
 * Inputs are named by their own hash, results by their shard's key. A file begins with one line, `shadowllm-shard 1` and
 * the SHA-256 of what follows, and is never believed without it. A writer never changes what is there: whoever is second
 * has the same bytes. What a store is made of (a folder that machines share, a bucket) is a `ShardPlace`.
 */
import { refusal } from '../io/refusal.ts'
import { sha256 } from '../platform/platform.ts'
import { checkHash } from './shard.ts'

/** Files by name, as a folder or a bucket has them. Names are checked by the store before they come here. */
export interface ShardPlace {
  /** What a person calls it. */
  readonly name: string
  /** Whether there is a file; not whether it is whole. */
  has(name: string): Promise<boolean>
  /** A file, or null. */
  read(name: string): Promise<Uint8Array | null>
  /** Makes a file, complete or not at all. */
  write(name: string, bytes: Uint8Array): Promise<void>
  /** Takes a file away; nothing happens if there is none. */
  remove(name: string): Promise<void>
  close(): Promise<void>
}

/** See the head of this file. */
export class ShardStore {
  readonly place: ShardPlace

  constructor(place: ShardPlace) {
    this.place = place
  }

  /** Whether there is a file of this name; not whether it is whole. @throws InputError SHARD_FORMAT for no name */
  async has(name: string): Promise<boolean> {
    return this.place.has(checkHash(name, 'name'))
  }

  /**
   * What was written under a name; null if nothing was.
   * @throws InputError SHARD_DAMAGED for a file that is not as it was written, SHARD_FORMAT for no name
   */
  async read(name: string): Promise<Uint8Array | null> {
    const file = await this.place.read(checkHash(name, 'name'))
    return file && unwrap(file, `${this.place.name} ${name}`)
  }

  /** The same, but what is damaged is taken away, and then there is nothing. */
  async readOrRemove(name: string): Promise<Uint8Array | null> {
    try {
      return await this.read(name)
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'SHARD_DAMAGED') throw error
      await this.place.remove(name)
      return null
    }
  }

  /** Keeps a shard's result under its key. @throws InputError SHARD_FORMAT for no name */
  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.place.write(checkHash(name, 'name'), await wrap(bytes))
  }

  /** Keeps an input under its own hash, which is given back. One that is there and whole is left as it is. */
  async add(bytes: Uint8Array): Promise<string> {
    const name = await hashOf(bytes)
    if ((await this.readOrRemove(name)) === null) await this.write(name, bytes)
    return name
  }

  /** Lets go of what the place holds open. */
  close(): Promise<void> {
    return this.place.close()
  }
}

/** A store in memory. */
export function memoryStore(): ShardStore {
  const files = new Map<string, Uint8Array>()
  return new ShardStore({
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

/** Of bytes that may lie in shared memory, which is copied first. */
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
