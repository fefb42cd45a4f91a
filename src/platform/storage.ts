/**
 * Persistent folders: caches, and the temporary files of killed processes.
 *
 * A temporary name contains the id of its process, so that a write in progress can be distinguished from an abandoned one. One thread
 * of a process writes; process ids of other machines are not supported.
 */
import { builtin, hostProcess } from './builtin.ts'
import { PlatformError } from './platform_error.ts'

const ending = /\.(\d+)-([0-9a-f]{8})-\d+\.tmp$/
/** Distinguishes this process from an earlier one with the same id. */
const token = crypto.randomUUID().slice(0, 8)
let names = 0

/** A unique temporary name in the folder of a path; `removeAbandoned` recognises its form. */
export function temporaryName(path: string): string {
  return `${path}.${hostProcess?.pid ?? 0}-${token}-${names++}.tmp`
}

/**
 * Makes a file under a temporary name, then renames it. On failure the old file stays and the temporary one is removed.
 */
export async function replaceFile(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path)
  try {
    await make(temporary)
    await rename(temporary, path)
  } catch (error) {
    await remove(temporary).catch(() => {}) // the first failure counts
    throw error
  }
}

/**
 * Tries whether a file can be made at a path: makes the temporary one that would be written first, and removes it.
 * @throws errors of the system
 */
export async function tryWriting(path: string): Promise<void> {
  const temporary = temporaryName(path)
  await (await builtin('node:fs').promises.open(temporary, 'wx')).close()
  await remove(temporary)
}

/** The temporary files of a path whose processes have ended, sorted. */
export async function abandonedOf(path: string): Promise<string[]> {
  const { basename, dirname, join } = builtin('node:path')
  const names = await listAbandoned(dirname(path))
  return names
    .filter((name) => name.startsWith(`${basename(path)}.`))
    .map((name) => join(dirname(path), name))
}

/** The temporary names in a folder whose processes have ended, sorted. */
async function listAbandoned(folder: string): Promise<string[]> {
  const names = (await builtin('node:fs').promises.readdir(folder)).sort()
  return names.filter((name) => {
    const owner = ending.exec(name)
    return owner !== null && !isRunning(Number(owner[1]), owner[2])
  })
}

/** Removes the temporary files in a folder whose processes have ended; returns their names. */
export async function removeAbandoned(folder: string): Promise<string[]> {
  const removed = await listAbandoned(folder)
  for (const name of removed) await remove(builtin('node:path').join(folder, name))
  return removed
}

function isRunning(pid: number, itsToken: string): boolean {
  if (hostProcess === null) throw new PlatformError('process')
  if (pid === hostProcess.pid) return itsToken === token
  try {
    return hostProcess.kill(pid, 0)
  } catch (error) {
    // EPERM: the process runs and belongs to another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Removes a file, or a folder with its content, if it exists. */
export async function remove(path: string): Promise<void> {
  await builtin('node:fs').promises.rm(path, { recursive: true, force: true })
}

/** Renames a file or a folder. */
export async function rename(from: string, to: string): Promise<void> {
  await builtin('node:fs').promises.rename(from, to)
}

/** The cache folder of the user: XDG_CACHE_HOME, or .cache in the home folder. */
export function cacheFolder(): string {
  const path = builtin('node:path')
  const named = hostProcess?.env.XDG_CACHE_HOME ?? ''
  // The XDG base directory specification says to ignore a relative path.
  return path.isAbsolute(named) ? named : path.join(homeFolder(), '.cache')
}

/** The home folder of the user. */
export function homeFolder(): string {
  return builtin('node:os').homedir()
}
