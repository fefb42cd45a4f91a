/**
 * What is made once for a whole run of the suite, and shared by its spec files and workers, such as the built pages.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { inject } from 'vitest'
import { sharedFolder } from './temporary.ts'

/** Milliseconds between two looks at what another worker makes. */
const LOOK_AGAIN = 100

/**
 * The folder that `make` fills. Whoever asks first makes it; the others wait. It is removed after the run.
 * @param name what is made; unique in the suite
 * @param runFolder the temporary folder of the run; default: this run's
 * @throws what `make` threw, for whoever asked first; for the others, Error with its message
 */
export async function onceInThisRun(
  name: string,
  make: (folder: string) => Promise<void>,
  runFolder: string = inject('temporaryFolder'),
): Promise<string> {
  const shared = sharedFolder(runFolder)
  mkdirSync(shared, { recursive: true })
  const [folder, done, failed] = ['', '.done', '.failed'].map((ending) => join(shared, `${name}${ending}`))
  if (makesFolder(folder)) {
    try {
      await make(folder)
      writeFileSync(done, '')
    } catch (error) {
      writeFileSync(failed, String(error))
      throw error
    }
  }
  while (!existsSync(done)) {
    if (existsSync(failed))
      throw new Error(`${name}: expected it to be made, got ${readFileSync(failed, 'utf8')}`)
    await pause(LOOK_AGAIN)
  }
  return folder
}

/** Makes a folder; false if it was there. */
function makesFolder(path: string): boolean {
  try {
    mkdirSync(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}
