/**
 * The conformance kit, which a run of the suite writes once: computing its vectors takes longer than most spec files that read it.
 */
import { join } from 'node:path'
import { writeKit } from '../../scripts/kit/folder.ts'
import { onceInThisRun } from '../harness/once.ts'

/** The folders of the kit as `npm run build:kit` writes it, and with workloads of each size. Tests leave both as they are. */
export async function writtenKits(): Promise<{ readonly usual: string; readonly whole: string }> {
  const kitsIn = (folder: string) => ({ usual: join(folder, 'usual'), whole: join(folder, 'whole') })
  const folder = await onceInThisRun('kit', async (made) => {
    writeKit(kitsIn(made).usual)
    writeKit(kitsIn(made).whole, true)
  })
  return kitsIn(folder)
}
