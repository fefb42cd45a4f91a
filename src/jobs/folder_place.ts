/**
 * A folder that stores the files of jobs; all machines must see it, for example through a network file system.
 *
 *   <first two digits>/<64 digits>      a file; written under a temporary name, forced to the disk, renamed
 *
 * Temporary names contain a process id, which means nothing on another machine. So a file that a dead machine left half
 * written is recognised by its age.
 */
import {
  absolutePath,
  fileAge,
  fileKind,
  joinPath,
  list,
  makeFolder,
  readFile,
  remove,
  writeFileAtomic,
} from '../platform/platform.ts'
import { JobError } from './job_error.ts'
import type { StorePlace } from './job_store.ts'

/** No write takes longer than this, in milliseconds. */
const abandonedAfter = 24 * 3600 * 1000

/**
 * Opens a folder, creates it if it is missing, and removes temporary files that are a day old.
 * @throws JobError SHARD_STORE (exit code 5) if the system refuses, as for all functions of the place
 */
export async function folderPlace(folder: string): Promise<StorePlace> {
  const root = absolutePath(folder)
  const pathOf = (name: string): string => joinPath(root, name.slice(0, 2), name)
  await inFolder(root, async () => {
    await makeFolder(root)
    await sweep(root)
  })
  return {
    name: root,
    has: (name) => inFolder(root, async () => (await fileKind(pathOf(name))) === 'file'),
    read: (name) => inFolder(root, () => readOrNull(pathOf(name))),
    write: (name, bytes) =>
      inFolder(root, async () => {
        await makeFolder(joinPath(root, name.slice(0, 2)))
        await writeFileAtomic(pathOf(name), bytes)
      }),
    remove: (name) => inFolder(root, () => remove(pathOf(name))),
    close: async () => {},
  }
}

async function readOrNull(path: string): Promise<Uint8Array | null> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

async function sweep(root: string): Promise<void> {
  for (const part of await list(root)) {
    if (!/^[0-9a-f]{2}$/.test(part)) continue
    for (const name of await list(joinPath(root, part))) {
      const path = joinPath(root, part, name)
      if (name.endsWith('.tmp') && ((await fileAge(path)) ?? 0) > abandonedAfter) await remove(path)
    }
  }
}

async function inFolder<T>(root: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException
    if (syscall === undefined) throw cause
    throw new JobError('SHARD_STORE', `${root}: expected a folder to read and write, got ${code}`, { cause })
  }
}
