/**
 * The cache of one model, in the layout that Python's huggingface_hub reads and writes:
 *
 *   models--facebook--opt-125m/
 *     blobs/<hash>                 content: SHA-256 of large files, git's SHA-1 of small ones
 *     snapshots/<commit>/<name>    a link to its content, or a copy if links are not supported
 *     refs/<revision>              the last known commit of a branch or tag
 *
 * Invariants: content gets its name when it is complete; a reference is written when its snapshot is complete; nothing is read
 * or written through a link that leads out of the cache. Partial files have names that Python does not use (see
 * `download.ts`), because Python would append to its own.
 */
import {
  absolutePath,
  fileKind,
  fileNameOf,
  folderOf,
  joinPath,
  linkOrCopy,
  makeFolder,
  openRange,
  realPath,
  systemRefusal,
  writeFileAtomic,
} from '../../platform/platform.ts'
import { ShadowError } from '../../tensor/errors.ts'
import { readWhole } from '../files.ts'
import { hubRefusal, quote } from '../refusal.ts'
import { isBelow, joinSafely } from '../safe_path.ts'
import { isCommit } from './names.ts'

/** A file as the hub describes it. */
export interface RemoteFile {
  readonly name: string
  /** Bytes. */
  readonly size: number
  /** The hash of its content. */
  readonly hash: string
  /** The kind of the hash: of the content, or of git's header and the content. */
  readonly hashKind: 'sha256' | 'git-sha1'
}

/** The cache of one model. */
export class ModelCache {
  readonly #root: string
  readonly #folder: string

  /** @param root the folder of all models @param id checked by `checkModelId` */
  constructor(root: string, id: string) {
    this.#root = absolutePath(root)
    this.#folder = joinPath(this.#root, ['models', ...id.split('/')].join('--'))
  }

  /** The folder of a commit's files. */
  snapshot(commit: string): string {
    return joinPath(this.#folder, 'snapshots', commit)
  }

  /** The path of a file in a commit. @throws InputError PATH_UNSAFE */
  place(commit: string, name: string): string {
    return joinSafely(this.snapshot(commit), name, 'cache')
  }

  /** The path of content. */
  blob({ hash }: RemoteFile): string {
    return joinPath(this.#folder, 'blobs', hash)
  }

  /**
   * The last known commit of a revision; null if there is none.
   * @throws HubError HUB_CACHE
   */
  async readReference(revision: string): Promise<string | null> {
    if (isCommit(revision)) return revision
    const path = joinSafely(joinPath(this.#folder, 'refs'), revision, 'cache')
    return this.guard(path, async () => {
      if ((await fileKind(path)) === 'missing') return null
      await this.#checkInside(path)
      const text = new TextDecoder().decode(await readWhole(path, 1024)).trim()
      if (isCommit(text)) return text
      throw hubRefusal('HUB_CACHE', path, 'a commit', text === '' ? 'nothing' : quote(text))
    })
  }

  /** Records the commit of a revision. @throws HubError HUB_CACHE */
  async writeReference(revision: string, commit: string): Promise<void> {
    if (isCommit(revision)) return
    const path = joinSafely(joinPath(this.#folder, 'refs'), revision, 'cache')
    await this.guard(path, async () => {
      await this.#makeFolderInside(folderOf(path))
      await writeFileAtomic(path, commit)
    })
  }

  /** Creates the folders. @throws HubError HUB_CACHE */
  async prepare(commit: string): Promise<void> {
    for (const folder of [this.snapshot(commit), joinPath(this.#folder, 'blobs')])
      await this.guard(folder, () => this.#makeFolderInside(folder))
  }

  /** Whether a commit has a file of this name, with any content. @throws HubError HUB_CACHE for one outside the cache */
  async has(commit: string, name: string): Promise<boolean> {
    const path = this.place(commit, name)
    return this.guard(path, () => this.#isFile(path))
  }

  /** Whether a commit has this file, by name and size. @throws HubError HUB_CACHE */
  async hasExactly(commit: string, file: RemoteFile): Promise<boolean> {
    if (!(await this.has(commit, file.name))) return false
    const path = this.place(commit, file.name)
    return this.guard(path, async () => {
      const real = (await realPath(path)) ?? path
      const blobs = await realPath(joinPath(this.#folder, 'blobs'))
      const named = folderOf(real) !== blobs || fileNameOf(real) === file.hash
      return named && (await sizeOf(real)) === file.size
    })
  }

  /** Whether the content of a file is there, by its size. @throws HubError HUB_CACHE */
  async hasBlob(file: RemoteFile): Promise<boolean> {
    const path = this.blob(file)
    return this.guard(path, async () => (await this.#isFile(path)) && (await sizeOf(path)) === file.size)
  }

  /** Links content into a commit. @throws HubError HUB_CACHE */
  async link(commit: string, file: RemoteFile): Promise<void> {
    const path = this.place(commit, file.name)
    await this.guard(path, async () => {
      await this.#makeFolderInside(folderOf(path))
      await linkOrCopy(this.blob(file), path)
    })
  }

  /** Runs an operation on the cache and converts errors of the system. @throws HubError HUB_CACHE */
  async guard<T>(path: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action()
    } catch (error) {
      const refused = systemRefusal(error)
      if (error instanceof ShadowError || refused === null) throw error
      throw hubRefusal('HUB_CACHE', path, 'a cache that can be read and written', refused, { cause: error })
    }
  }

  async #isFile(path: string): Promise<boolean> {
    if ((await realPath(path)) === null) return false
    await this.#checkInside(path)
    return (await fileKind(path)) === 'file'
  }

  async #makeFolderInside(folder: string): Promise<void> {
    // From the top down, so that nothing is created behind a link out of the cache.
    const steps: string[] = []
    for (let at = folder; isBelow(this.#root, at); at = folderOf(at)) steps.unshift(at)
    await makeFolder(this.#root)
    for (const step of steps) {
      await makeFolder(step)
      await this.#checkInside(step)
    }
  }

  async #checkInside(path: string): Promise<void> {
    const root = await realPath(this.#root)
    const real = await realPath(path)
    if (root === null || real === null || isBelow(root, real)) return
    throw hubRefusal('HUB_CACHE', path, `a file in ${this.#root}`, `a link to ${quote(real)}`)
  }
}

/** Bytes of a file. */
export async function sizeOf(path: string): Promise<number> {
  const file = await openRange(path)
  await file.close()
  return file.size
}
