/**
 * The sources under cuda/, and a change planted in one of them.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { hashOf, readTexts, root, type Plant, type Sources } from '../sources.ts'

const emulatorFolder = 'emulator/'
/** What kernels have in common, and those that trade bits for speed. */
const kernelFolders = ['', 'shared/', 'fast/']

/** All sources, those of the emulator too. @throws Error if the place of a plant is not there, or not the only one. */
export function readSources(plant?: Plant): Sources {
  const folder = join(root, 'cuda')
  const names = [...kernelFolders, emulatorFolder].flatMap((below) =>
    readdirSync(join(folder, below))
      .filter((name) => /\.(cu|cuh|h|cpp)$/.test(name))
      .map((name) => below + name),
  )
  return readTexts('cuda', names, plant === undefined ? [] : [plant])
}

/** The hash of what the module is made from: the kernels without the emulator. */
export function kernelsHash(sources: Sources = readSources()): string {
  return hashOf([...sources].filter(([name]) => !name.startsWith(emulatorFolder)))
}
