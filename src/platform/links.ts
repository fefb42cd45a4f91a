/**
 * Links to files, or copies if the system does not support links.
 */
import { builtin } from './builtin.ts'
import { replaceFile } from './storage.ts'

/** Error codes of systems without symbolic links, or that do not let this user create one. */
const noLinks = new Set(['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL'])

/**
 * Links to a file under a second name, and replaces what had that name: a relative symbolic link, or a copy.
 */
export async function linkOrCopy(target: string, path: string): Promise<void> {
  const { copyFile, symlink } = builtin('node:fs').promises
  const { dirname, relative } = builtin('node:path')
  await replaceFile(path, async (temporary) => {
    try {
      await symlink(relative(dirname(path), target), temporary)
    } catch (error) {
      if (!noLinks.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      await copyFile(target, temporary)
    }
  })
}

/** The path with all links resolved; null if it does not exist. */
export async function realPath(path: string): Promise<string | null> {
  try {
    return await builtin('node:fs').promises.realpath(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw error
  }
}
