/**
 * A file that is written in pieces, as for a resumable download: it can be written at an offset, read and truncated.
 */
import { builtin } from './builtin.ts'

/** A file that is being written. */
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
        let done = 0
        while (done < length) {
          const { bytesRead } = await handle.read(bytes, done, length - done, offset + done)
          if (bytesRead === 0) break
          done += bytesRead
        }
        return bytes.subarray(0, done)
      },
      async write(offset, bytes) {
        for (let done = 0; done < bytes.length;) {
          const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done)
          done += bytesWritten
        }
      },
      cut: (length) => handle.truncate(length),
      sync: () => handle.sync(),
      close: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}
