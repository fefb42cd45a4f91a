/**
 * Downloads one file of the hub into the cache, with resumption.
 *
 * A partial file is next to its final path as `<hash>.partial`, or under a temporary name of the process that writes it. Two
 * processes never write the same file: each claims a partial file by renaming it, and starts a new file if there is none. The
 * second process to finish writes the same bytes to the same path. The next process resumes the file of a killed one.
 *
 * The hash of all bytes, those of earlier runs included, shows that the pieces belong together. `If-Range` cannot, because the
 * store to which the hub redirects has its own etags.
 */
import {
  abandonedOf,
  fileKind,
  openGrowing,
  remove,
  rename,
  startHash,
  temporaryName,
  type GrowingFile,
  type RunningHash,
} from '../../platform/platform.ts'
import { hubRefusal, quote } from '../refusal.ts'
import { sizeOf, type ModelCache, type RemoteFile } from './cache.ts'
import { PassingFailure } from './patience.ts'
import type { HubClient, HubReply } from './requests.ts'

/** Options of a download. */
export interface Download {
  readonly client: HubClient
  readonly cache: ModelCache
  readonly address: URL
  readonly file: RemoteFile
  /** Its name in errors. */
  readonly subject: string
  readonly signal?: AbortSignal
  /** Called with the bytes that are there; fewer than before after a restart. */
  readonly onBytes: (done: number) => void
}

/** A connection that transferred less counts as a failure. */
const LEAST_PROGRESS = 2 ** 20
const READ_BACK = 2 ** 22

/**
 * Downloads content into the cache. A partial file is kept for the next attempt.
 * @throws HubError HUB_NETWORK, HUB_BUSY, HUB_STATUS, HUB_NOT_FOUND, HUB_ACCESS, HUB_REDIRECT, HUB_ANSWER, HUB_SIZE,
 *   HUB_HASH, HUB_CACHE; the signal's reason
 */
export async function downloadBlob(download: Download): Promise<void> {
  const { cache, file } = download
  const place = cache.blob(file)
  await cache.guard(place, async () => {
    const mine = await takePartial(place)
    try {
      await fillFile(download, mine)
      await rename(mine, place).catch((error: unknown) => takenByAnother(download, error))
    } catch (error) {
      await leavePartial(mine, place)
      throw error
    }
  })
}

/** Rethrows an error, unless another process, for example of another container, claimed our file and finished it. */
async function takenByAnother({ cache, file }: Download, error: unknown): Promise<void> {
  if (!(await cache.hasBlob(file))) throw error
}

const partialOf = (place: string): string => `${place}.partial`

/** The partial files that belong to no running process. */
async function freePartials(place: string): Promise<string[]> {
  return [partialOf(place), ...(await abandonedOf(partialOf(place)))]
}

/** Claims the partial file of an earlier attempt, or names a new file. */
async function takePartial(place: string): Promise<string> {
  const mine = temporaryName(partialOf(place))
  for (const free of await freePartials(place)) {
    try {
      await rename(free, mine)
      return mine
    } catch (error) {
      // Another process claimed it first, or it is missing.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  return mine
}

async function leavePartial(mine: string, place: string): Promise<void> {
  if ((await fileKind(mine)) === 'missing') return
  if ((await sizeOf(mine)) === 0) await remove(mine)
  else await rename(mine, partialOf(place))
}

/** Removes what other processes left of a file that is complete now. @throws HubError HUB_CACHE */
export async function removePartials(cache: ModelCache, file: RemoteFile): Promise<void> {
  const place = cache.blob(file)
  await cache.guard(place, async () => {
    for (const path of await freePartials(place)) await remove(path)
  })
}

/** Writes a file until its hash is that of the hub. */
async function fillFile(download: Download, path: string): Promise<void> {
  const growing = await openGrowing(path)
  try {
    let inherited = growing.size
    if (inherited > download.file.size) {
      await growing.cut(0)
      inherited = 0
    }
    const digest = await new Filling(download, growing).fill(inherited)
    if (digest !== download.file.hash) {
      // The part of an earlier run may be damaged: one more attempt without it.
      await growing.cut(0)
      const again = inherited > 0 ? await new Filling(download, growing).fill(0) : digest
      if (again !== download.file.hash) {
        await growing.cut(0)
        throw hubRefusal('HUB_HASH', download.subject, `content with hash ${download.file.hash}`, again)
      }
    }
    await growing.sync()
  } finally {
    await growing.close()
  }
}

/** One pass over a file, from its existing bytes to its end, with the hash of all bytes. */
class Filling {
  readonly #download: Download
  readonly #growing: GrowingFile
  #hash: RunningHash
  /** Bytes in the file and in the hash. */
  #done = 0

  constructor(download: Download, growing: GrowingFile) {
    this.#download = download
    this.#growing = growing
    this.#hash = beginHash(download.file)
  }

  /** Writes the file; returns its hash. @param inherited existing bytes */
  async fill(inherited: number): Promise<string> {
    const { client, file, signal } = this.#download
    await this.#readBack(inherited)
    const patience = client.patience(signal)
    let counted = this.#done
    while (this.#done < file.size) {
      try {
        await this.#fetchRest()
      } catch (failure) {
        // Progress is measured from the last maximum, so a server that restarts each time makes none.
        if (this.#done >= counted + LEAST_PROGRESS) {
          counted = this.#done
          patience.progressed()
        }
        await patience.after(failure)
      }
    }
    return this.#hash.digest()
  }

  async #readBack(length: number): Promise<void> {
    while (this.#done < length) {
      this.#download.signal?.throwIfAborted()
      const part = await this.#growing.read(this.#done, Math.min(READ_BACK, length - this.#done))
      if (part.length === 0) return
      this.#take(part)
    }
  }

  async #fetchRest(): Promise<void> {
    const { client, address, subject, file, signal } = this.#download
    const headers: Record<string, string> = this.#done > 0 ? { range: `bytes=${this.#done}-` } : {}
    const reply = await client.open(address, { subject, headers, signal })
    try {
      await this.#judge(reply)
      for await (const piece of reply.pieces()) {
        if (this.#done + piece.length > file.size) {
          await this.#restart()
          throw hubRefusal('HUB_SIZE', subject, `${file.size} bytes`, 'more')
        }
        await this.#growing.write(this.#done, piece)
        this.#take(piece)
      }
    } finally {
      reply.close()
    }
    if (this.#done < file.size)
      throw new PassingFailure(hubRefusal('HUB_NETWORK', subject, `${file.size} bytes`, `${this.#done}`))
  }

  /** Checks a response before any byte of it is stored. */
  async #judge({ status, headers, linkedEtag }: HubReply): Promise<void> {
    const { subject, file } = this.#download
    const etag = linkedEtag?.replace(/^W\//, '').replaceAll('"', '') ?? null
    if (etag !== null && etag !== file.hash)
      throw hubRefusal('HUB_HASH', subject, `content with hash ${file.hash}`, quote(etag))
    if (/^text\/html\b/i.test(headers.get('content-type') ?? ''))
      throw hubRefusal('HUB_ANSWER', subject, 'a file', 'a web page')
    if (status === 200) await this.#restart() // The server sends the whole file.
    const length = headers.get('content-length')
    const rest = file.size - this.#done
    if (length !== null && !headers.has('content-encoding') && Number(length) !== rest)
      throw hubRefusal('HUB_SIZE', subject, `${rest} bytes`, length)
    const range = headers.get('content-range')
    const asked = new RegExp(`^bytes ${this.#done}-\\d+/(?:${file.size}|\\*)$`)
    if (status === 206 && !asked.test(range ?? '')) {
      const expected = `bytes from ${this.#done} of ${file.size}`
      throw hubRefusal('HUB_ANSWER', subject, expected, quote(range ?? 'nothing'))
    }
  }

  async #restart(): Promise<void> {
    if (this.#done === 0) return
    await this.#growing.cut(0)
    this.#done = 0
    this.#hash = beginHash(this.#download.file)
    this.#download.onBytes(0)
  }

  #take(piece: Uint8Array): void {
    this.#hash.update(piece)
    this.#done += piece.length
    this.#download.onBytes(this.#done)
  }
}

/** The header that git hashes before the content: kind and length. */
function beginHash({ hashKind, size }: RemoteFile): RunningHash {
  if (hashKind === 'sha256') return startHash('sha256')
  const hash = startHash('sha1')
  hash.update(new TextEncoder().encode(`blob ${size}\0`))
  return hash
}
