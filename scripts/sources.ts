/**
 * Sources of compilers, as texts, and changes planted in them.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout. */
export const root: string = fileURLToPath(new URL('..', import.meta.url))

/** Replaces the one place where `from` stands in a file of the sources. */
export interface Plant {
  readonly file: string
  readonly from: string
  readonly to: string
}

/** Sources by their path below their folder, in order. */
export type Sources = ReadonlyMap<string, string>

/**
 * Files of a folder of the checkout, with changes.
 * @throws Error if the place of a plant is not there, or not the only one
 */
export function readTexts(folder: string, names: readonly string[], plants: readonly Plant[] = []): Sources {
  const sources = new Map(
    [...names].sort().map((name) => [name, readFileSync(join(root, folder, name), 'utf8')]),
  )
  for (const { file, from, to } of plants) {
    const text = sources.get(file)
    if (text === undefined) throw new Error(`${folder}/${file}: expected a source of this name`)
    if (text.split(from).length !== 2) throw new Error(`${folder}/${file}: expected "${from}" once`)
    sources.set(
      file,
      text.replace(from, () => to),
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
