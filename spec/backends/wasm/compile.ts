/**
 * Compiles the sources in assembly/ as `npm run build:wasm` does, in memory, with changes planted on the way.
 */
import asc from 'assemblyscript/asc'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root, type Plant } from '../../../scripts/sources.ts'
import { remembered } from '../../../src/tensor/records.ts'

/** The builds of asconfig.json, and the module each is committed as. */
export const builds = {
  release: 'kernels.wasm',
  bytes: 'kernels_bytes.wasm',
  relaxed: 'kernels_relaxed.wasm',
  wide: 'kernels_wide.wasm',
} as const

/** The name of a build. */
export type Build = keyof typeof builds

/** A committed module. */
export function readCommitted(build: Build = 'release'): Promise<Buffer<ArrayBuffer>> {
  return readFile(join(root, 'src/backends/wasm', builds[build])) as Promise<Buffer<ArrayBuffer>>
}

/** The sources and the compiler's library by their paths, read once for all mutants; null where there is no file. */
const texts = new Map<string, Promise<string | null>>()

/** @throws Error if the sources do not compile, or the place is not there or not the only one */
export async function compileKernels(
  plant?: Plant,
  options: readonly string[] = [],
  build: Build = 'release',
): Promise<Uint8Array<ArrayBuffer>> {
  let binary: Uint8Array<ArrayBuffer> | null = null
  let planted = plant === undefined
  const { error, stderr } = await asc.main(
    ['--config', 'asconfig.json', '--target', build, '--baseDir', root, ...options],
    {
      readFile: async (name, folder) => {
        const path = join(folder, name)
        const text = await remembered(texts, path, () => readFile(path, 'utf8').catch(() => null))
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
