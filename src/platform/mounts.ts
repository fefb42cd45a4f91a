/**
 * Folders that are no folders of a disk: files a page was given (dropped, chosen, fetched), read by paths like any other.
 *
 * A mounted folder is called `mounted:NAME`; nothing on a disk is looked for under such a path. Its files are flat, or
 * below folders by names with slashes. Nothing can be written into one.
 */

/** A path of this system, or a URL. */
export type Location = string | URL

export type FileKind = 'file' | 'directory' | 'other' | 'missing'

const prefix = 'mounted:'
const mounts = new Map<string, ReadonlyMap<string, Blob>>()

/**
 * Makes files readable below a path, in the place of a folder of that name.
 * @param files by their names in the folder
 * @returns the path of the folder
 */
export function mountFolder(name: string, files: ReadonlyMap<string, Blob>): string {
  const folder = prefix + name.replace(/[\\/]/g, '-')
  mounts.set(folder, new Map(files))
  return folder
}

/** Forgets a mounted folder; what is being read of it can be read to its end. */
export function unmountFolder(folder: string): void {
  mounts.delete(folder)
}

/** The mounted folder a path leads into, and what is left of the path; null for any other path. */
function split(location: Location): { files: ReadonlyMap<string, Blob> | undefined; rest: string } | null {
  if (typeof location !== 'string' || !location.startsWith(prefix)) return null
  const [folder, ...rest] = location.split(/[\\/]+/)
  return { files: mounts.get(folder), rest: rest.join('/').replace(/\/$/, '') }
}

/** A file of a mounted folder; undefined for any other path. */
export function mountedFile(location: Location): Blob | undefined {
  const place = split(location)
  return place?.files?.get(place.rest)
}

/** What stands at a path of a mounted folder; undefined for any other path. */
export function mountedKind(location: Location): FileKind | undefined {
  const place = split(location)
  if (!place) return undefined
  const { files, rest } = place
  if (files?.has(rest)) return 'file'
  const isFolder = files && (rest === '' || [...files.keys()].some((name) => name.startsWith(`${rest}/`)))
  return isFolder ? 'directory' : 'missing'
}

/** The names in a mounted folder, sorted; undefined for any other path. */
export function mountedNames(location: Location): string[] | undefined {
  const place = split(location)
  if (!place?.files) return undefined
  const start = place.rest === '' ? '' : `${place.rest}/`
  const below = [...place.files.keys()].filter((name) => name.startsWith(start))
  return [...new Set(below.map((name) => name.slice(start.length).split('/')[0]))].sort()
}
