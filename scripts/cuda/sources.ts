/**
 * The sources under cuda/, and a change planted in one of them.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout. */
export const root: string = fileURLToPath(new URL('../..', import.meta.url))

/** Replaces the one place where `from` stands in cuda/<file>. */
export interface Plant {
  readonly file: string
  readonly from: string
  readonly to: string
}

/** Sources by their path below cuda/, in order. */
export type Sources = ReadonlyMap<string, string>

const emulatorFolder = 'emulator/'
/** Kernels that trade bits for speed. */
const fastFolder = 'fast/'

/** All sources, those of the emulator too. @throws Error if the place of a plant is not there, or not the only one. */
export function readSources(plant?: Plant): Sources {
  const folder = join(root, 'cuda')
  const names = ['', fastFolder, emulatorFolder].flatMap((below) =>
    readdirSync(join(folder, below))
      .filter((name) => /\.(cu|cuh|h|cpp)$/.test(name))
      .map((name) => below + name),
  )
  const sources = new Map(names.sort().map((name) => [name, readFileSync(join(folder, name), 'utf8')]))
  if (plant !== undefined) {
    const text = sources.get(plant.file)
    if (text === undefined) throw new Error(`cuda/${plant.file}: expected a source of this name`)
    if (text.split(plant.from).length !== 2)
      throw new Error(`cuda/${plant.file}: expected "${plant.from}" once`)
    sources.set(
      plant.file,
      text.replace(plant.from, () => plant.to),
    )
  }
  return sources
}

/** SHA-256 of names and texts, in hexadecimal. */
export function hashOf(sources: Iterable<readonly [string, string]>): string {
  const hash = createHash('sha256')
  for (const [name, text] of sources) hash.update(`${name}\0${text}\0`)
  return hash.digest('hex')
}

/** The hash of what the module is made from: the kernels without the emulator. */
export function kernelsHash(sources: Sources = readSources()): string {
  return hashOf([...sources].filter(([name]) => !name.startsWith(emulatorFolder)))
}
