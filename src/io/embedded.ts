/**
 * The files of the small trained model that comes with this package: a folder of the disk, or, in a browser, fetched
 * from beside this code. Each file is named by a URL of its own, so that what packs code for a page finds them.
 */
import { folderOf, joinPath, mountFolder, pathOfUrl, readFile, runtime } from '../platform/platform.ts'
import { isThere } from './files.ts'
import { refusal } from './refusal.ts'

const files: Readonly<Record<string, URL>> = {
  'config.json': new URL('../../fixtures/tiny-opt/config.json', import.meta.url),
  'model.safetensors': new URL('../../fixtures/tiny-opt/model.safetensors', import.meta.url),
  'predictor.safetensors': new URL('../../fixtures/tiny-opt/predictor.safetensors', import.meta.url),
  'vocab.json': new URL('../../fixtures/tiny-opt/vocab.json', import.meta.url),
  'merges.txt': new URL('../../fixtures/tiny-opt/merges.txt', import.meta.url),
}

let fetched: Promise<string> | null = null

/** The folder of the embedded model. @throws InputError FILE_READ if a page cannot fetch a file of it */
export function embeddedFolder(): Promise<string> {
  if (runtime.name !== 'browser') return folderOnDisk()
  fetched ??= fetchAll().catch((error: unknown) => {
    fetched = null // so that the next attempt may do better
    throw error
  })
  return fetched
}

/** Beside this code; where a bundler has put the code elsewhere, in the package that is installed. */
async function folderOnDisk(): Promise<string> {
  const beside = folderOf(pathOfUrl(files['config.json']))
  if (await isThere(beside)) return beside
  try {
    return joinPath(
      folderOf(pathOfUrl(import.meta.resolve('shadowllm/package.json'))),
      'fixtures',
      'tiny-opt',
    )
  } catch {
    return beside // nobody has it; whoever reads there says so
  }
}

async function fetchAll(): Promise<string> {
  const blobs = Object.entries(files).map(async ([name, url]): Promise<[string, Blob]> => {
    try {
      return [name, new Blob([await readFile(url)])]
    } catch (cause) {
      throw refusal('FILE_READ', name, "the embedded model's file", (cause as Error).message, { cause })
    }
  })
  return mountFolder('embedded', new Map(await Promise.all(blobs)))
}
