/**
 * Files a command writes: judged before the work begins, written complete or not at all.
 */
import { absolutePath, fileKind, folderOf, writeFileAtomic } from '../platform/platform.ts'
import { ShadowError, UsageError } from '../tensor/errors.ts'
import { isAbort } from './failure.ts'

/**
 * Refuses a path that cannot become a file, before time is spent on what would go there.
 * @throws UsageError OUTPUT
 */
export async function checkOutput(path: string): Promise<void> {
  const folder = folderOf(path)
  const kind = await fileKind(path)
  if (kind !== 'file' && kind !== 'missing') {
    // A file is written beside its place and moved there, which would put it in the place of a device.
    const got = kind === 'directory' ? 'a folder' : 'a device'
    throw new UsageError('OUTPUT', `${path}: expected a file to write, got ${got}`)
  }
  if ((await fileKind(folder)) !== 'directory')
    throw new UsageError('OUTPUT', `${path}: expected an existing folder to write into, got none`)
}

/**
 * Refuses a path that cannot become a folder, or is one already that files cannot be put into.
 * @throws UsageError OUTPUT
 */
export async function checkOutputFolder(path: string): Promise<void> {
  const kind = await fileKind(path)
  if (kind !== 'directory' && kind !== 'missing')
    throw new UsageError('OUTPUT', `${path}: expected a folder to write into, got a file`)
  if ((await fileKind(folderOf(absolutePath(path)))) !== 'directory')
    throw new UsageError('OUTPUT', `${path}: expected an existing folder to make it in, got none`)
}

/** Writes a file. @throws UsageError OUTPUT if the system refuses: no permission, no room */
export function writeOutput(path: string, content: string | Uint8Array): Promise<void> {
  return whileWriting(path, () => writeFileAtomic(path, content))
}

/** Runs what writes a file, and puts the system's refusal into our words. @throws UsageError OUTPUT */
export async function whileWriting<T>(path: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (cause) {
    if (cause instanceof ShadowError || isAbort(cause)) throw cause
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause)
    throw new UsageError('OUTPUT', `${path}: expected a file that can be written, got ${reason}`, { cause })
  }
}
