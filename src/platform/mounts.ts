/**
 * Mounted folders: files in memory (dropped on a page, chosen or fetched), which are read by paths like files on disk.
 *
 * The path of a mounted folder is `mounted:NAME`, which never refers to the disk. Names of files may contain slashes. Mounted folders
 * are read-only.
 */

/** A path of this system, or a URL. */
export type Location = string | URL

export type FileKind = 'file' | 'directory' | 'other' | 'missing'

/** The content of a file: bytes in memory, or what a page was given, each read of which takes a browser some milliseconds. */
export type MountedContent = Blob | Uint8Array<ArrayBuffer>

/** A file, which may still be on its way. */
export type MountedFile = MountedContent | Promise<MountedContent>

const prefix = 'mounted:'
const mounts = new Map<string, ReadonlyMap<string, MountedFile>>()

/**
 * Mounts files, and replaces a folder of the same name.
 * @param files by their names in the folder; nobody changes their bytes. A rejection is thrown to whoever reads the file
 * @returns the path of the folder
 */
export function mountFolder(name: string, files: ReadonlyMap<string, MountedFile>): string {
  const folder = prefix + name.replace(/[\\/]/g, '-')
  mounts.set(folder, new Map(files))
  return folder
}

/** Unmounts a folder; open files stay readable. */
export function unmountFolder(folder: string): void {
  mounts.delete(folder)
}

/** The mounted folder of a path, and the rest of the path; null for other paths. */
function split(
  location: Location,
): { files: ReadonlyMap<string, MountedFile> | undefined; rest: string } | null {
  if (typeof location !== 'string' || !location.startsWith(prefix)) return null
  const [folder, ...rest] = location.split(/[\\/]+/)
  return { files: mounts.get(folder), rest: rest.join('/').replace(/\/$/, '') }
}

/** A file of a mounted folder; undefined for any other path. */
export function mountedFile(location: Location): MountedFile | undefined {
  const place = split(location)
  return place?.files?.get(place.rest)
}

/** The kind of a path in a mounted folder; undefined for other paths. */
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
