/**
 * Files: read whole, read by ranges, written so that a reader sees the old content or the new, never half of either.
 *
 * Failures are the system's own errors (`code` is ENOENT, EACCES, ...); the io room turns them into typed ones.
 */
import type { FileHandle } from 'node:fs/promises'
import { builtin, hostProcess } from './builtin.ts'
import { mountedFile, mountedKind, mountedNames, type FileKind, type Location } from './mounts.ts'
import { folderOf } from './paths.ts'
import { temporaryName } from './storage.ts'

export type { FileKind, Location } from './mounts.ts'

/** A file opened for reading parts of it. */
export interface RangedFile {
  /** Bytes, when it was opened. */
  readonly size: number
  /**
   * Up to `length` bytes from `offset`, fewer only where the file ends: in a buffer of their own, or at the start of one
   * that is given.
   */
  read(offset: number, length: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>
  /** Whether size or time of change differ from those at opening. */
  changed(): Promise<boolean>
  close(): Promise<void>
}

/** One system call reads at most this much: the limit of Node's is just under 2 GiB. */
const READ_AT_ONCE = 2 ** 30

/** A whole file. In a browser it is in a mounted folder, or a URL, which is fetched. */
export async function readFile(location: Location): Promise<Uint8Array<ArrayBuffer>> {
  const mounted = mountedFile(location)
  if (mounted) return new Uint8Array(await mounted.arrayBuffer())
  if (hostProcess !== null) {
    const bytes = await builtin('node:fs').promises.readFile(location)
    // Small files come in a slice of Node's pool; callers are promised a buffer of their own.
    return bytes.byteLength === bytes.buffer.byteLength ? new Uint8Array(bytes.buffer) : new Uint8Array(bytes)
  }
  const response = await fetch(location)
  if (!response.ok) throw new Error(`${String(location)}: expected the file, got status ${response.status}`)
  return new Uint8Array(await response.arrayBuffer())
}

/** Opens a file for ranged reads. Close it. */
export async function openRange(location: Location): Promise<RangedFile> {
  const mounted = mountedFile(location)
  if (mounted) return openBlob(mounted)
  const handle = await builtin('node:fs').promises.open(location, 'r')
  try {
    const atOpening = await handle.stat()
    return {
      size: atOpening.size,
      async read(offset, length, into = new Uint8Array(length)) {
        const bytes = into.length === length ? into : into.subarray(0, length)
        let done = 0
        while (done < length) {
          const part = Math.min(READ_AT_ONCE, length - done)
          const { bytesRead } = await handle.read(bytes, done, part, offset + done)
          if (bytesRead === 0) break
          done += bytesRead
        }
        return done === length ? bytes : bytes.slice(0, done)
      },
      async changed() {
        const now = await handle.stat()
        return now.size !== atOpening.size || now.mtimeMs !== atOpening.mtimeMs
      },
      close: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** What a page holds of a file does not change: where the file itself did, reading fails. */
function openBlob(blob: Blob): RangedFile {
  return {
    size: blob.size,
    async read(offset, length, into) {
      const part = new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer())
      if (!into) return part
      into.set(part)
      return into.subarray(0, part.length)
    },
    changed: async () => false,
    close: async () => {},
  }
}

/** What stands at a path; links are followed. */
export async function fileKind(location: Location): Promise<FileKind> {
  const mounted = mountedKind(location)
  if (mounted) return mounted
  // A page has no disk for anything to stand on.
  if (hostProcess === null) return 'missing'
  try {
    const found = await builtin('node:fs').promises.stat(location)
    return found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other'
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'missing'
    throw error
  }
}

/** How long ago a file was changed, in milliseconds; null if there is none. */
export async function fileAge(location: Location): Promise<number | null> {
  try {
    return Date.now() - (await builtin('node:fs').promises.stat(location)).mtimeMs
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Whether anything stands at a path. */
export async function exists(location: Location): Promise<boolean> {
  return (await fileKind(location)) !== 'missing'
}

/** Whether a folder stands at a path. */
export async function isDirectory(location: Location): Promise<boolean> {
  return (await fileKind(location)) === 'directory'
}

/** The names in a folder, sorted. */
export async function list(location: Location): Promise<string[]> {
  const mounted = mountedNames(location)
  if (mounted) return mounted
  return (await builtin('node:fs').promises.readdir(location)).sort()
}

/** Makes a folder and those above it; nothing happens if it is there. */
export async function makeFolder(location: Location): Promise<void> {
  await builtin('node:fs').promises.mkdir(location, { recursive: true })
}

/**
 * Writes a file under a temporary name beside its place, forces it to the disk, then renames it into place.
 * On failure the old file stays and the temporary one is removed.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const { open, rename, rm } = builtin('node:fs').promises
  const temporary = temporaryName(path)
  const handle = await open(temporary, 'wx')
  try {
    try {
      for await (const part of parts(content)) await writeAll(handle, part)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncFolder(folderOf(path))
}

/** Adds text at the end of a file, and makes the file if there is none. A crash may leave part of it. */
export async function appendFile(path: string, text: string): Promise<void> {
  await builtin('node:fs').promises.appendFile(path, text)
}

function parts(
  content: string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  if (typeof content === 'string') return [new TextEncoder().encode(content)]
  return content instanceof Uint8Array ? [content] : content
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(READ_AT_ONCE, bytes.length - done))
    done += bytesWritten
  }
}

/**
 * Forces the names in a folder to the disk: a rename must survive a crash too. Some systems cannot open a folder; they have
 * no such step.
 */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await builtin('node:fs').promises.open(folder, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch {
    // Windows: EPERM or EISDIR. The file itself was forced to the disk before.
  }
}
