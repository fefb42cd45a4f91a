/**
 * Refuses files of a model's folder that are links out of it. Such folders come from strangers, as clones and archives, and a link in
 * one may name any file of this machine, whose text a server or a conversion would then give out.
 */
import { absolutePath, fileNameOf, folderOf, joinPath, realPath, runtime } from '../platform/platform.ts'
import { refusal } from './refusal.ts'
import { isBelow } from './safe_path.ts'

/**
 * Checks that files which are there lie in a folder, links resolved. A snapshot in the cache of the hub has its files in the folder
 * `blobs` of its model.
 * @throws InputError PATH_UNSAFE for one that lies elsewhere
 */
export async function expectInside(folder: string, names: readonly string[]): Promise<void> {
  // A page has no links.
  if (runtime.name === 'browser') return
  const root = await realPath(absolutePath(folder))
  if (root === null) return
  const snapshots = folderOf(root)
  const blobs = fileNameOf(snapshots) === 'snapshots' ? joinPath(folderOf(snapshots), 'blobs') : null
  for (const name of names) {
    // What cannot be resolved cannot be read either, and its reader says so.
    const real = await realPath(joinPath(root, name)).catch(() => null)
    if (real === null || isBelow(root, real) || (blobs !== null && isBelow(blobs, real))) continue
    throw refusal('PATH_UNSAFE', name, `a file inside ${folder}`, 'a link out of it')
  }
}
