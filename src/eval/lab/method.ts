/**
 * One hash for the method: the sources that decide what a number is. Results kept from earlier runs are told apart by
 * it, so that no change of the code is ever answered with a number from before.
 */
import { fileKind, joinPath, list, pathOfUrl, sha256, sha256File } from '../../platform/platform.ts'

/** What numbers depend on: all of `src` but what shows them, reads commands, or opens files. */
const places = [
  'tensor',
  'ops',
  'backends',
  'masks',
  'model',
  'criteria',
  'predictor',
  'train',
  'eval/calibration',
  'eval/tasks',
  'eval/lab',
  'eval/corpus.ts',
  'eval/windows.ts',
  'eval/perplexity.ts',
]

let known: Promise<string> | null = null

/** SHA-256 of names and contents of those sources; worked out once. */
export function methodHash(): Promise<string> {
  return (known ??= hashPlaces(pathOfUrl(new URL('../../', import.meta.url))))
}

async function hashPlaces(root: string): Promise<string> {
  const lines: string[] = []
  for (const place of places) await addHashes(lines, root, place)
  return sha256(new TextEncoder().encode(lines.join('\n')))
}

async function addHashes(lines: string[], root: string, place: string): Promise<void> {
  const path = joinPath(root, place)
  if ((await fileKind(path)) !== 'directory') lines.push(`${place} ${await sha256File(path)}`)
  else for (const name of (await list(path)).toSorted()) await addHashes(lines, root, joinPath(place, name))
}
