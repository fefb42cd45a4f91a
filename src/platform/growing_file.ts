/**
 * A file that comes in pieces and may have to wait for its rest: written to at a place, read back, cut.
 */
import { builtin } from './builtin.ts'

/** A file that is being filled. */
export interface GrowingFile {
  /** Bytes, when it was opened. */
  readonly size: number
  /** Up to `length` bytes from `offset`; fewer only where the file ends. */
  read(offset: number, length: number): Promise<Uint8Array>
  /** Puts bytes at a place. */
  write(offset: number, bytes: Uint8Array): Promise<void>
  /** Cuts the file after so many bytes. */
  cut(length: number): Promise<void>
  /** Forces what was written to the disk. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** Opens a file to fill it, and makes it if there is none; what is in it stays. A link is refused. Close it. */
export async function openGrowing(path: string): Promise<GrowingFile> {
  const { open, constants } = builtin('node:fs').promises
  // Windows has no such flag, and needs a privilege to make such links.
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
