/**
 * The files of the embedded model, the small trained model of this package: a folder on disk, or fetched in a browser. Each file
 * has its own `new URL`, so that bundlers find it.
 */
import { folderOf, mountFolder, runtime } from '../platform/platform.ts'
import { fetchPackaged, packagedPath } from './packaged.ts'

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
    fetched = null // so that the next call tries again
    throw error
  })
  return fetched
}

async function folderOnDisk(): Promise<string> {
  return folderOf(await packagedPath(files['config.json'], 'fixtures', 'tiny-opt', 'config.json'))
}

async function fetchAll(): Promise<string> {
  const blobs = Object.entries(files).map(async ([name, url]): Promise<[string, Blob]> => {
    return [name, await fetchPackaged(name, url, "the embedded model's file")]
  })
  return mountFolder('embedded', new Map(await Promise.all(blobs)))
}
