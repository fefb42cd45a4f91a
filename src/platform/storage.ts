/**
 * Places that outlive a process: where caches go, and what a process that was killed left behind.
 *
 * A temporary name says which process it belongs to, so that the next one can tell a write in progress from one that
 * will never end. One thread of a process writes; process ids of another machine mean nothing here.
 */
import { builtin, hostProcess } from './builtin.ts'
import { PlatformError } from './platform_error.ts'

const ending = /\.(\d+)-([0-9a-f]{8})-\d+\.tmp$/
/** Tells this process from an earlier one of the same id. */
const token = crypto.randomUUID().slice(0, 8)
let names = 0

/** A name nothing else uses, beside a path; `removeAbandoned` knows it by its form. */
export function temporaryName(path: string): string {
  return `${path}.${hostProcess?.pid ?? 0}-${token}-${names++}.tmp`
}

/** The temporary names in a folder whose processes are no more, sorted. */
export async function listAbandoned(folder: string): Promise<string[]> {
  const names = (await builtin('node:fs').promises.readdir(folder)).sort()
  return names.filter((name) => {
    const owner = ending.exec(name)
    return owner !== null && !isRunning(Number(owner[1]), owner[2])
  })
}

/** Removes what stands in a folder under temporary names whose processes are no more; returns their names. */
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
    // EPERM: it runs, and is somebody else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Removes a file, or a folder with all that is in it; nothing happens if there is none. */
export async function remove(path: string): Promise<void> {
  await builtin('node:fs').promises.rm(path, { recursive: true, force: true })
}

/** Gives a file or a folder another name. */
export async function rename(from: string, to: string): Promise<void> {
  await builtin('node:fs').promises.rename(from, to)
}

/** The user's folder for what can be made again: XDG_CACHE_HOME, else .cache in the home folder. */
export function cacheFolder(): string {
  const path = builtin('node:path')
  const named = hostProcess?.env.XDG_CACHE_HOME ?? ''
  // A relative path is to be ignored, says the XDG base directory specification.
  return path.isAbsolute(named) ? named : path.join(homeFolder(), '.cache')
}

/** The user's own folder. */
export function homeFolder(): string {
  return builtin('node:os').homedir()
}
