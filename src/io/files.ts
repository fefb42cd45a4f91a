/**
 * Reads files with typed errors: for missing files, for folders, and for files that change while they are read.
 */
// Types from where they are, so that programs without the types of a page compile with those of `shadowllm/io/safetensors`.
import type { FileKind, RangedFile } from '../platform/files.ts'
import {
  fileKind,
  fileNameOf,
  folderOf,
  list,
  openRange,
  PlatformError,
  refusalWords,
} from '../platform/platform.ts'
import { MAX_NAME, nearestName } from '../tensor/arguments.ts'
import { ShadowError } from '../tensor/errors.ts'
import { shownLine } from '../tensor/quote.ts'
import { refusal } from './refusal.ts'

export type { RangedFile } from '../platform/files.ts'

/** The largest text (config, index, vocabulary) that is read, and the largest safetensors header: 25 MB. */
export const TEXT_LIMIT = 25_000_000

/** Names of a folder that are compared with one that is not there. */
const MAX_NAMES = 1000

/** The kind of a path; links are followed. @throws InputError FILE_READ if the system refuses */
export function kindOf(path: string): Promise<FileKind> {
  return system(path, () => fileKind(path))
}

/** What is told of a path at which nothing is: the name in its folder that was probably meant, if there is one. */
export async function nothingAt(path: string): Promise<string> {
  const name = fileNameOf(path)
  if (name === '') return 'nothing'
  const nothing = 'nothing: no such file or folder'
  if (name.length > MAX_NAME) return nothing
  // Without a hint where the folder is missing too, or may not be read.
  const names = await list(folderOf(path)).catch(() => [])
  const known = names.filter((one) => one.length <= MAX_NAME).slice(0, MAX_NAMES)
  const near = nearestName(name, known, Math.min(2, name.length / 3))
  return near === null ? nothing : `${nothing} (did you mean ${shownLine(near)}?)`
}

/** Whether a path exists. @throws InputError FILE_READ if the system refuses */
export async function isThere(path: string): Promise<boolean> {
  return (await kindOf(path)) !== 'missing'
}

/**
 * Opens a file for ranged reads. Close it.
 * @throws InputError FILE_MISSING, FILE_KIND for a folder or a device, FILE_READ if the system refuses.
 */
export async function openFile(path: string): Promise<RangedFile> {
  const kind = await kindOf(path)
  if (kind === 'missing') throw refusal('FILE_MISSING', path, 'a file', await nothingAt(path))
  if (kind !== 'file')
    throw refusal('FILE_KIND', path, 'a file', kind === 'directory' ? 'a folder' : 'a device')
  return system(path, () => openRange(path))
}

/**
 * Opens a file and passes it to `read`, which keeps it open for its result; the file is closed if `read` fails.
 * @throws InputError as `openFile`; anything `read` throws.
 */
export async function openWith<T>(path: string, read: (file: RangedFile) => Promise<T>): Promise<T> {
  const file = await openFile(path)
  try {
    return await read(file)
  } catch (error) {
    await file.close()
    throw error
  }
}

/**
 * A whole file of at most `limit` bytes.
 * @throws InputError as `openFile`; FILE_LIMIT if it is larger.
 */
export async function readWhole(path: string, limit: number = TEXT_LIMIT): Promise<Uint8Array> {
  const file = await openFile(path)
  try {
    if (file.size > limit) throw refusal('FILE_LIMIT', path, `at most ${limit} bytes`, `${file.size}`)
    return await readExactly(file, 0, file.size, path)
  } finally {
    await file.close()
  }
}

/**
 * Exactly `length` bytes from `offset`, in a new buffer or at the start of the given one.
 * @throws InputError FILE_CHANGED if the file has become shorter, FILE_READ if the system refuses.
 */
export async function readExactly(
  file: RangedFile,
  offset: number,
  length: number,
  name: string,
  into?: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await system(name, () => file.read(offset, length, into))
  if (bytes.length === length) return bytes
  throw refusal('FILE_CHANGED', name, `${length} bytes at ${offset}`, `${bytes.length}`, {
    byteOffset: offset,
  })
}

/** `readExactly`, and `checkUnchanged` after it. @throws InputError as both */
export async function readUnchanged(
  file: RangedFile,
  offset: number,
  length: number,
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await readExactly(file, offset, length, name)
  await checkUnchanged(file, name)
  return bytes
}

/**
 * Exactly `length` bytes from `offset`, in parts; the last part only if the file did not change meanwhile. A part is valid until
 * the next one is requested: there are two buffers, and one is filled while the other is used.
 * @throws InputError as `readExactly` and `checkUnchanged`
 */
export async function* readParts(
  file: RangedFile,
  offset: number,
  length: number,
  partLength: number,
  name: string,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const buffers = takeBuffers(file, Math.min(partLength, length))
  const readAt = async (done: number): Promise<Uint8Array<ArrayBuffer>> => {
    const count = Math.min(partLength, length - done)
    const part = await readExactly(file, offset + done, count, name, buffers[(done / partLength) % 2])
    if (done + count === length) await checkUnchanged(file, name)
    return part
  }
  let next = length > 0 ? readAt(0) : null
  try {
    for (let done = 0; next !== null; done += partLength) {
      const part = await next
      next = done + partLength < length ? readAt(done + partLength) : null
      // After an early return the failure of the pending read is ignored.
      next?.catch(() => {})
      yield part
    }
  } finally {
    await next?.catch(() => {})
    spareBuffers.set(file, buffers)
  }
}

type Buffers = readonly [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>]

/** Two buffers that are reused, because allocating new memory is slow. */
const spareBuffers = new WeakMap<RangedFile, Buffers>()

function takeBuffers(file: RangedFile, size: number): Buffers {
  const spare = spareBuffers.get(file)
  spareBuffers.delete(file)
  return spare && spare[0].length >= size ? spare : [new Uint8Array(size), new Uint8Array(size)]
}

/** @throws InputError FILE_CHANGED if the file changed since it was opened. */
export async function checkUnchanged(file: RangedFile, name: string): Promise<void> {
  if (await system(name, () => file.changed())) {
    throw refusal('FILE_CHANGED', name, 'a file that does not change while it is open', 'a changed file')
  }
}

/** Bytes in memory as a file. */
export function bytesAsFile(bytes: Uint8Array): RangedFile {
  return {
    size: bytes.length,
    read: async (offset, length) => new Uint8Array(bytes.subarray(offset, offset + length)),
    changed: async () => false,
    close: async () => {},
  }
}

async function system<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    // A file that did not come says why.
    if (error instanceof PlatformError || error instanceof ShadowError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    throw refusal(
      'FILE_READ',
      path,
      'a file that can be read',
      code === undefined ? message : refusalWords(code),
      {
        cause: error,
      },
    )
  }
}
