/**
 * Files of this package: beside the code, in the installed package if a bundler moved the code, or fetched in a browser.
 */
import { folderOf, joinPath, pathOfUrl, readFile } from '../platform/platform.ts'
import { isThere } from './files.ts'
import { refusal } from './refusal.ts'

/** The path of a file on disk. @param place its path in the package */
export async function packagedPath(url: URL, ...place: readonly string[]): Promise<string> {
  const beside = pathOfUrl(url)
  if (await isThere(beside)) return beside
  try {
    return joinPath(folderOf(pathOfUrl(import.meta.resolve('shadowllm/package.json'))), ...place)
  } catch {
    return beside // missing; the reader reports it
  }
}

/**
 * The content of a file.
 * @param what it is, for the error
 * @throws InputError FILE_READ
 */
export async function fetchPackaged(name: string, url: URL, what: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await readFile(url)
  } catch (cause) {
    throw refusal('FILE_READ', name, what, (cause as Error).message, { cause })
  }
}
