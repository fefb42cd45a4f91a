/**
 * One hash for the method: the sources that decide what a number is. Results kept from earlier runs are told apart by
 * it, so that no change of the code is ever answered with a number from before.
 *
 * Calibration depends on less than the rest: a change of predictors or planners leaves traces as they are.
 */
import { fileKind, joinPath, list, pathOfUrl, readFile, sha256, sha256File } from '../platform/platform.ts'

/** The sources that traces depend on. */
const calibrationPlaces = [
  'tensor',
  'ops',
  'backends',
  'masks',
  'engine',
  'criteria',
  'calibration',
  'io/encode_pieces.ts',
  'jobs/job_model.ts',
  'data/corpus.ts',
  'data/windows.ts',
]

/** The other sources that scores and predictors depend on; not those that show numbers, read commands or open files. */
const otherPlaces = [
  'predictor',
  'compensation',
  'training',
  'evaluation/evaluate.ts',
  'evaluation/jobs',
  'evaluation/score_window.ts',
  'evaluation/tally.ts',
  'evaluation/tasks/score.ts',
  'evaluation/window_evaluator.ts',
  'experiments/cache',
  'results/method.ts',
]

/** Both hashes: 64 hexadecimal digits each. */
export interface MethodHash {
  readonly calibration: string
  readonly all: string
}

let known: Promise<MethodHash> | null = null

/** SHA-256 of names and contents of those sources; worked out once. */
export function methodHash(): Promise<MethodHash> {
  return (known ??= hashMethod())
}

async function hashMethod(): Promise<MethodHash> {
  const calibration = await hashPlaces(calibrationPlaces)
  return { calibration, all: await sha256(`${calibration}\n${await hashPlaces(otherPlaces)}`) }
}

/** SHA-256 of names and contents of sources: files and folders by their path under src/. */
export async function hashPlaces(places: readonly string[]): Promise<string> {
  const table = await readTable()
  if (table === null) return sha256((await listHashes(places)).join('\n'))
  const below = (place: string): string[] =>
    table.filter((line) => line.startsWith(`${place} `) || line.startsWith(`${place}/`))
  return sha256(places.flatMap(below).join('\n'))
}

/** Path and SHA-256 of each of these sources, a line each. Default: of all that decide a number. */
export async function listHashes(
  places: readonly string[] = [...calibrationPlaces, ...otherPlaces],
): Promise<string[]> {
  const root = pathOfUrl(new URL('../../src/', import.meta.url))
  const lines: string[] = []
  for (const place of places) await addHashes(lines, root, place)
  return lines
}

/**
 * The lines that the build has written in place of the sources, which are not in the package: one method, one hash, also where the
 * program runs from what was compiled. Null in a checkout.
 */
async function readTable(): Promise<readonly string[] | null> {
  const path = pathOfUrl(new URL('source_hashes.json', import.meta.url))
  if ((await fileKind(path)) !== 'file') return null
  return JSON.parse(new TextDecoder().decode(await readFile(path))) as string[]
}

async function addHashes(lines: string[], root: string, place: string): Promise<void> {
  const path = joinPath(root, place)
  if ((await fileKind(path)) !== 'directory') lines.push(`${place} ${await sha256File(path)}`)
  else for (const name of (await list(path)).toSorted()) await addHashes(lines, root, joinPath(place, name))
}
