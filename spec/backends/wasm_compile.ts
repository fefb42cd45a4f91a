/**
 * Compiles the sources in assembly/ as `npm run build:wasm` does, in memory, with changes planted on the way.
 */
import asc from 'assemblyscript/asc'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout. */
export const root: string = fileURLToPath(new URL('../..', import.meta.url))

/** Replaces the one place where `from` stands in assembly/<file>. */
export interface Plant {
  readonly file: string
  readonly from: string
  readonly to: string
}

/** @throws Error if the sources do not compile, or the place is not there or not the only one */
export async function compileKernels(
  plant?: Plant,
  options: readonly string[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  let binary: Uint8Array<ArrayBuffer> | null = null
  let planted = plant === undefined
  const { error, stderr } = await asc.main(
    ['--config', 'asconfig.json', '--target', 'release', '--baseDir', root, ...options],
    {
      readFile: async (name, folder) => {
        const text = await readFile(join(folder, name), 'utf8').catch(() => null)
        if (text === null || !plant || !name.endsWith(`assembly/${plant.file}`)) return text
        if (text.split(plant.from).length !== 2) throw new Error(`${name}: expected "${plant.from}" once`)
        planted = true
        return text.replace(plant.from, plant.to)
      },
      writeFile: (_, contents) => void (binary = contents as Uint8Array<ArrayBuffer>),
      listFiles: () => [],
    },
  )
  if (error || binary === null) throw new Error(stderr.toString(), { cause: error })
  if (!planted) throw new Error(`assembly/${plant?.file}: expected a source of this name`)
  return binary
}
