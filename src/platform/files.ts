/**
 * Files: reading whole files and ranges, and atomic writing, so that a reader sees the old content or the new one.
 *
 * Errors are those of the system (`code` is ENOENT, EACCES, ...); io converts them to typed errors.
 */
import type { FileHandle } from 'node:fs/promises'
import { builtin, hostProcess } from './builtin.ts'
import {
  mountedFile,
  mountedKind,
  mountedNames,
  type FileKind,
  type Location,
  type MountedContent,
} from './mounts.ts'
import { folderOf } from './paths.ts'
import { replaceFile } from './storage.ts'

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

/** The maximal size of one read or write; the limit of Node is just under 2 GiB. */
const MAX_TRANSFER = 2 ** 30

/**
 * The largest read that is done at once: handing it to a thread would take longer than the read. A model has hundreds of parts
 * that are so small.
 */
const SMALL_READ = 2 ** 18

/** Reads a whole file. In a browser it is in a mounted folder, or a URL that is fetched. */
export async function readFile(location: Location): Promise<Uint8Array<ArrayBuffer>> {
  const mounted = mountedFile(location)
  if (mounted) return partOf(await mounted)
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
  if (mounted) return openMounted(await mounted)
  const fs = builtin('node:fs')
  const handle = await fs.promises.open(location, 'r')
  try {
    const atOpening = fs.fstatSync(handle.fd)
    return {
      size: atOpening.size,
      async read(offset, length, into = new Uint8Array(length)) {
        const bytes = into.length === length ? into : into.subarray(0, length)
        const done =
          length <= SMALL_READ
            ? fs.readSync(handle.fd, bytes, 0, length, offset)
            : await readAll(handle, bytes, offset)
        return done === length ? bytes : bytes.slice(0, done)
      },
      async changed() {
        const now = fs.fstatSync(handle.fd)
        return now.size !== atOpening.size || now.mtimeMs !== atOpening.mtimeMs
      },
      close: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Reads until the bytes are full, or the file ends; returns how many were read. */
async function readAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<number> {
  let done = 0
  while (done < bytes.length) {
    const part = Math.min(MAX_TRANSFER, bytes.length - done)
    const { bytesRead } = await handle.read(bytes, done, part, offset + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

/** A file of a page does not change: if the file on disk did, reading fails. */
function openMounted(file: MountedContent): RangedFile {
  return {
    size: file instanceof Blob ? file.size : file.length,
    async read(offset, length, into) {
      const part = await partOf(file, offset, offset + length)
      if (!into) return part
      into.set(part)
      return into.subarray(0, part.length)
    },
    changed: async () => false,
    close: async () => {},
  }
}

/** Bytes of a file in a new buffer. */
async function partOf(file: MountedContent, start = 0, end?: number): Promise<Uint8Array<ArrayBuffer>> {
  const part = file.slice(start, end)
  return part instanceof Blob ? new Uint8Array(await part.arrayBuffer()) : part
}

/** The kind of a path; links are followed. */
export async function fileKind(location: Location): Promise<FileKind> {
  const mounted = mountedKind(location)
  if (mounted) return mounted
  // A page has no disk.
  if (hostProcess === null) return 'missing'
  try {
    const found = builtin('node:fs').statSync(location)
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

/** The names in a folder, sorted. */
export async function list(location: Location): Promise<string[]> {
  const mounted = mountedNames(location)
  if (mounted) return mounted
  return (await builtin('node:fs').promises.readdir(location)).sort()
}

/**
 * Creates a folder and its parents, if they are missing, one at a time: Node's recursive way does not end where a system has no new
 * folders, such as /proc.
 */
export async function makeFolder(location: Location): Promise<void> {
  const path = typeof location === 'string' ? location : builtin('node:url').fileURLToPath(location)
  try {
    await makeOne(path)
  } catch (error) {
    const parent = folderOf(path)
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path) throw error
    await makeFolder(parent)
    await makeOne(path)
  }
}

async function makeOne(path: string): Promise<void> {
  try {
    await builtin('node:fs').promises.mkdir(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || (await fileKind(path)) !== 'directory')
      throw error
  }
}

/**
 * Writes a file under a temporary name in the same folder, flushes it to disk, then renames it.
 * On failure the old file stays and the temporary one is removed.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  await replaceFile(path, async (temporary) => {
    const handle = await builtin('node:fs').promises.open(temporary, 'wx')
    try {
      let written = 0
      for await (const part of parts(content)) {
        await writeAll(handle, part, written)
        written += part.length
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
  })
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

async function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const part = Math.min(MAX_TRANSFER, bytes.length - done)
    const { bytesWritten } = await handle.write(bytes, done, part, offset + done)
    done += bytesWritten
  }
}

/** A file that is written in pieces, as for a resumable download. */
export interface GrowingFile {
  /** Its size in bytes when it was opened. */
  readonly size: number
  /** Up to `length` bytes from `offset`; fewer only at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>
  /** Writes bytes at an offset. */
  write(offset: number, bytes: Uint8Array): Promise<void>
  /** Truncates the file to this many bytes. */
  cut(length: number): Promise<void>
  /** Flushes the file to disk. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** Opens a file for writing, keeps its content, and creates it if it is missing. A link is refused. Close it. */
export async function openGrowing(path: string): Promise<GrowingFile> {
  const { open, constants } = builtin('node:fs').promises
  // Windows has no such flag, and creating links there needs a privilege.
  const noLink = (constants as Partial<typeof constants>).O_NOFOLLOW ?? 0
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | noLink)
  try {
    const { size } = await handle.stat()
    return {
      size,
      async read(offset, length) {
        const bytes = new Uint8Array(length)
        return bytes.subarray(0, await readAll(handle, bytes, offset))
      },
      write: (offset, bytes) => writeAll(handle, bytes, offset),
      cut: (length) => handle.truncate(length),
      sync: () => handle.sync(),
      close: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error
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
