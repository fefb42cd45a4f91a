/**
 * Files: reading whole files and ranges, and atomic writing, so that a reader sees the old content or the new one.
 *
 * Errors are those of the system (`code` is ENOENT, EACCES, ...); io converts them to typed errors.
 */
import type { FileHandle } from 'node:fs/promises'
import { builtin, hostProcess } from './builtin.ts'
import { mountedFile, mountedKind, mountedNames, type FileKind, type Location } from './mounts.ts'
import { folderOf } from './paths.ts'
import { temporaryName } from './storage.ts'

export type { FileKind, Location } from './mounts.ts'

/** A file that is open for ranged reads. */
export interface RangedFile {
  /** Its size in bytes when it was opened. */
  readonly size: number
  /**
   * Up to `length` bytes from `offset`, fewer only at the end of the file: in a new buffer, or at the start of the given
   * one.
   */
  read(offset: number, length: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>
  /** Whether its size or modification time differ from those at opening. */
  changed(): Promise<boolean>
  close(): Promise<void>
}

/** The maximal size of one read; the limit of Node is just under 2 GiB. */
const READ_AT_ONCE = 2 ** 30

/** Reads a whole file. In a browser it is in a mounted folder, or a URL that is fetched. */
export async function readFile(location: Location): Promise<Uint8Array<ArrayBuffer>> {
  const mounted = mountedFile(location)
  if (mounted) return new Uint8Array(await mounted.arrayBuffer())
  if (hostProcess !== null) {
    const bytes = await builtin('node:fs').promises.readFile(location)
    // Small files are slices of Node's pool; callers get a separate buffer.
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

/** A file of a page does not change: if the file on disk did, reading fails. */
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

/** The kind of a path; links are followed. */
export async function fileKind(location: Location): Promise<FileKind> {
  const mounted = mountedKind(location)
  if (mounted) return mounted
  // A page has no disk.
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

/** Whether a path exists. */
export async function exists(location: Location): Promise<boolean> {
  return (await fileKind(location)) !== 'missing'
}

/** Whether a path is a folder. */
export async function isDirectory(location: Location): Promise<boolean> {
  return (await fileKind(location)) === 'directory'
}

/** The names in a folder, sorted. */
export async function list(location: Location): Promise<string[]> {
  const mounted = mountedNames(location)
  if (mounted) return mounted
  return (await builtin('node:fs').promises.readdir(location)).sort()
}

/** Creates a folder and its parents, if they are missing. */
export async function makeFolder(location: Location): Promise<void> {
  await builtin('node:fs').promises.mkdir(location, { recursive: true })
}

/**
 * Writes a file under a temporary name in the same folder, flushes it to disk, then renames it.
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

/** Appends text to a file, which is created if it is missing. A crash may leave part of the text. */
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
 * Flushes a folder to disk, so that a rename survives a crash. Systems that cannot open folders do not need this step.
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
    // Windows: EPERM or EISDIR. The file itself was flushed before.
  }
}
