/**
 * Second names of files: links where the system has them, copies where it does not.
 */
import { builtin } from './builtin.ts'
import { temporaryName } from './storage.ts'

/** What a system answers that has no symbolic links, or does not let this user make one. */
const noLinks = new Set(['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL'])

/**
 * Gives a file a second name, in the place of whatever had it: a symbolic link that stays right when both are moved
 * together, or a copy.
 */
export async function linkOrCopy(target: string, path: string): Promise<void> {
  const { copyFile, rename, rm, symlink } = builtin('node:fs').promises
  const { dirname, relative } = builtin('node:path')
  const temporary = temporaryName(path)
  try {
    try {
      await symlink(relative(dirname(path), target), temporary)
    } catch (error) {
      if (!noLinks.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      await copyFile(target, temporary)
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** The path itself, all links followed; null if there is nothing. */
export async function realPath(path: string): Promise<string | null> {
  try {
    return await builtin('node:fs').promises.realpath(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw error
  }
}
