/**
 * Output of several files that appears complete or not at all: written into a folder of a temporary name, then moved.
 */
import {
  fileKind,
  fileNameOf,
  folderOf,
  joinPath,
  listAbandoned,
  makeFolder,
  remove,
  rename,
  syncFolder,
  temporaryName,
} from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'

/** Where output goes. */
export interface OutputPlace {
  /** A folder, or the one file in it that is the output. */
  readonly path: string
  /** The folder that the files are to be in. */
  readonly folder: string
}

/** A file of the output. */
export interface WrittenFile {
  readonly name: string
  readonly bytes: number
}

/**
 * Checks that files can be written, or replaced.
 * @throws UsageError OUTPUT for what is no file; OUTPUT_EXISTS for what may not be replaced
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
 * Gives `write` an empty folder beside the output, and then its files their places, in the order in which it names them;
 * a reader must begin with the last. Nothing stays if it fails.
 * @param stale files of the output's folder that would be read in place of these, removed before
 */
export async function whileStaged<T extends { readonly files: readonly WrittenFile[] }>(
  { path, folder }: OutputPlace,
  stale: readonly string[],
  write: (staged: string) => Promise<T>,
): Promise<T> {
  await removeAbandonedOf(path)
  const staged = temporaryName(path)
  try {
    await makeFolder(staged)
    const written = await write(staged)
    if ((await fileKind(folder)) === 'missing') await rename(staged, folder)
    else {
      const names = written.files.map(({ name }) => name)
      // Half of the new files and an old index would be read as one model.
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

/** What a process that was killed left of the same output. */
async function removeAbandonedOf(path: string): Promise<void> {
  const place = folderOf(path)
  for (const name of await listAbandoned(place))
    if (name.startsWith(`${fileNameOf(path)}.`)) await remove(joinPath(place, name))
}
