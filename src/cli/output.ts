/**
 * Files a command writes: judged before the work begins, written complete or not at all.
 */
import { fileKind, folderOf, writeFileAtomic } from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'

/**
 * Refuses a path that cannot become a file, before time is spent on what would go there.
 * @throws UsageError OUTPUT
 */
export async function checkOutput(path: string): Promise<void> {
  const folder = folderOf(path)
  if ((await fileKind(path)) === 'directory')
    throw new UsageError('OUTPUT', `--output: expected a file, got the folder ${path}`)
  if ((await fileKind(folder)) !== 'directory')
    throw new UsageError('OUTPUT', `--output: expected a file in an existing folder, got ${path}`)
}

/** Writes a file. @throws UsageError OUTPUT if the system refuses: no permission, no room */
export async function writeOutput(path: string, content: string | Uint8Array): Promise<void> {
  try {
    await writeFileAtomic(path, content)
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause)
    throw new UsageError(
      'OUTPUT',
      `--output: expected a place that can be written, got ${path} (${reason})`,
      { cause },
    )
  }
}
