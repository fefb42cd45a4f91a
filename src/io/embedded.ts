/**
 * The files of the embedded model, the small trained model of this package: a folder on disk, or fetched in a browser. Each file
 * has its own `new URL`, so that bundlers find it.
 */
import { folderOf, mountFolder, runtime } from '../platform/platform.ts'
import { fetchPackaged, packagedPath } from './packaged.ts'

/** The files by name. */
export const embeddedFiles: Readonly<Record<string, URL>> = {
  'config.json': new URL('../../fixtures/tiny-opt/config.json', import.meta.url),
  'model.safetensors': new URL('../../fixtures/tiny-opt/model.safetensors', import.meta.url),
  'predictor.safetensors': new URL('../../fixtures/tiny-opt/predictor.safetensors', import.meta.url),
  'vocab.json': new URL('../../fixtures/tiny-opt/vocab.json', import.meta.url),
  'merges.txt': new URL('../../fixtures/tiny-opt/merges.txt', import.meta.url),
}

let fetched: string | null = null

/** The folder of the embedded model. A page fetches its files; reading one throws InputError FILE_READ if it cannot. */
export async function embeddedFolder(): Promise<string> {
  if (runtime.name !== 'browser') return folderOnDisk()
  fetched ??= fetchAll()
  return fetched
}

async function folderOnDisk(): Promise<string> {
  return folderOf(await packagedPath(embeddedFiles['config.json'], 'fixtures', 'tiny-opt', 'config.json'))
}

/** The small files are read while the weights come. */
function fetchAll(): string {
  const fetching = Object.entries(embeddedFiles).map(
    ([name, url]) => [name, fetchPackaged(name, url, "the embedded model's file")] as const,
  )
  Promise.all(fetching.map(([, file]) => file)).catch(() => {
    fetched = null // so that the next call tries again
  })
  return mountFolder('embedded', new Map(fetching))
}
