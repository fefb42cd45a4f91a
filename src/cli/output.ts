/**
 * Files a command writes: checked before the work begins, written complete or not at all.
 */
import {
  abandonedOf,
  absolutePath,
  fileKind,
  folderOf,
  hasPackage,
  joinPath,
  refusalWords,
  remove,
  systemRefusal,
  tryWriting,
  writeFileAtomic,
  type FileKind,
} from '../platform/platform.ts'
import { packagesMissing } from '../tensor/packages.ts'
import { MissingError, ShadowError, UsageError } from '../tensor/errors.ts'

/**
 * Refuses a path at which no file can be written, before time is spent on what would go there. Temporary files that ended processes
 * left beside it are removed.
 * @throws UsageError OUTPUT
 */
export async function checkOutput(path: string): Promise<void> {
  const kind = await outputKind(path)
  if (kind !== 'file' && kind !== 'missing') {
    // A file is written beside its place and moved there, which would put it in the place of a device.
    const got = kind === 'directory' ? 'a folder' : 'a device'
    throw new UsageError('OUTPUT', `${path}: expected a file to write, got ${got}`)
  }
  if ((await outputKind(folderOf(path))) !== 'directory')
    throw new UsageError('OUTPUT', `${path}: expected an existing folder to write into, got none`)
  await whileWriting(path, async () => {
    for (const abandoned of await abandonedOf(path)) await remove(abandoned)
    await tryWriting(path)
  })
}

/**
 * Refuses a path that cannot become a folder, or is one already in which no file can be written.
 * @throws UsageError OUTPUT
 */
export async function checkOutputFolder(path: string): Promise<void> {
  const kind = await outputKind(path)
  if (kind !== 'directory' && kind !== 'missing')
    throw new UsageError('OUTPUT', `${path}: expected a folder to write into, got a file`)
  if ((await outputKind(folderOf(absolutePath(path)))) !== 'directory')
    throw new UsageError('OUTPUT', `${path}: expected an existing folder to make it in, got none`)
  await whileWriting(
    path,
    () => tryWriting(kind === 'missing' ? absolutePath(path) : joinPath(path, 'new')),
    FOLDER,
  )
}

/**
 * What stands where something is to be written.
 * @throws UsageError OUTPUT for no path at all, or if the system does not say
 */
export async function outputKind(path: string): Promise<FileKind> {
  if (path === '') throw new UsageError('OUTPUT', 'output: expected a path, got nothing')
  let kind: FileKind = 'missing'
  await whileWriting(path, async () => void (kind = await fileKind(path)))
  return kind
}

/** Refuses a report with figures that cannot be written, or not be drawn, before time is spent on it. */
export async function checkFigures(path: string | undefined): Promise<void> {
  if (path === undefined) return
  await checkOutput(path)
  if (!['vega', 'vega-lite'].every(hasPackage)) throw packagesMissing('--html', 'vega vega-lite')
}

/** Writes a file. @throws as `whileWriting` */
export function writeOutput(path: string, content: string | Uint8Array): Promise<void> {
  return whileWriting(path, () => writeFileAtomic(path, content))
}

/** What is expected of a folder that is written into. */
export const FOLDER = 'a folder that can be written into'

/**
 * Runs what writes a file, and puts the system's refusal into our words; an abort is none.
 * @param expected what it has to be
 * @throws UsageError OUTPUT; MissingError DISK_FULL where there is no room; what `write` throws that the system did not refuse
 */
export async function whileWriting<T>(
  path: string,
  write: () => Promise<T>,
  expected = 'a file that can be written',
): Promise<T> {
  try {
    return await write()
  } catch (cause) {
    const refusal = systemRefusal(cause)
    if (cause instanceof ShadowError || refusal === null) throw cause
    if (refusal === 'ENOSPC' || refusal === 'EDQUOT')
      throw new MissingError('DISK_FULL', `${path}: expected room to write into, got no space left`, {
        cause,
      })
    const words =
      refusal === 'ENOTDIR'
        ? 'folders in the path, got a file'
        : `${expected}, got ${refusal === 'ENOENT' ? 'a place that takes no new files' : refusalWords(refusal)}`
    throw new UsageError('OUTPUT', `${path}: expected ${words}`, { cause })
  }
}
