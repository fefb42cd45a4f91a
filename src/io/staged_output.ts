/**
 * Atomic output of several files: they are written into a temporary folder, then moved.
 */
import {
  abandonedOf,
  fileKind,
  folderOf,
  joinPath,
  makeFolder,
  remove,
  rename,
  syncFolder,
  temporaryName,
} from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'

/** The place of the output. */
export interface OutputPlace {
  /** The output: a folder, or one file. */
  readonly path: string
  /** The folder of the files. */
  readonly folder: string
}

/** A file of the output. */
export interface WrittenFile {
  readonly name: string
  readonly bytes: number
}

/**
 * Checks that files can be written, or replaced.
 * @throws UsageError OUTPUT for a path that is no file; OUTPUT_EXISTS for an existing file without `force`
 */
export async function checkPlace(
  { folder }: OutputPlace,
  names: readonly string[],
  force: boolean,
): Promise<void> {
  for (const name of names) {
    const path = joinPath(folder, name)
    const kind = await fileKind(path)
    if (kind !== 'missing' && kind !== 'file')
      throw new UsageError('OUTPUT', `${path}: expected a file to replace, got a folder or a device`)
    if (kind === 'file' && !force)
      throw new UsageError('OUTPUT_EXISTS', `${path}: expected no such file, got one; --force replaces it`)
  }
}

/**
 * Calls `write` with an empty temporary folder, then moves its files to the output in the order that it returns; readers must open
 * the last file first. A failure removes everything.
 * @param stale files of the output folder that readers would prefer; they are removed first
 */
export async function whileStaged<T extends { readonly files: readonly WrittenFile[] }>(
  { path, folder }: OutputPlace,
  stale: readonly string[],
  write: (staged: string) => Promise<T>,
): Promise<T> {
  for (const abandoned of await abandonedOf(path)) await remove(abandoned)
  const staged = temporaryName(path)
  try {
    await makeFolder(staged)
    const written = await write(staged)
    if ((await fileKind(folder)) === 'missing') await rename(staged, folder)
    else {
      const names = written.files.map(({ name }) => name)
      // Some new files and an old index would be read as one model.
      for (const name of [...stale, ...names.slice(-1)]) await remove(joinPath(folder, name))
      for (const name of names) await rename(joinPath(staged, name), joinPath(folder, name))
      await syncFolder(folder)
    }
    await syncFolder(folderOf(path))
    return written
  } finally {
    await remove(staged)
  }
}
