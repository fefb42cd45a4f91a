/**
 * Paths, by the rules of the system, or of POSIX in a browser.
 */
import { builtin, hostProcess } from './builtin.ts'

/** The path functions of the project; `node:path` implements them. */
export interface PathRules {
  join(...segments: string[]): string
  resolve(path: string): string
  dirname(path: string): string
  basename(path: string): string
}

/** The rules of POSIX without Node; the working directory is the root. */
export const portablePaths: PathRules = {
  join: (...segments) => plainPath(segments.filter((segment) => segment !== '').join('/')),
  resolve: (path) => plainPath(`/${path}`).replace(/(?<=.)\/$/, ''),
  dirname(path) {
    const end = path.replace(/\/+$/, '').lastIndexOf('/')
    if (end < 0) return path.startsWith('/') ? '/' : '.'
    return path.slice(0, end) || '/'
  },
  basename: (path) => path.replace(/\/+$/, '').split('/').at(-1) as string,
}

/** Normalises: removes empty segments, ".", and ".." with the segment before it; a slash at the end stays. */
function plainPath(path: string): string {
  const isAbsolute = path.startsWith('/')
  const kept: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue
    if (segment !== '..') kept.push(segment)
    else if (kept.length > 0 && kept.at(-1) !== '..') kept.pop()
    else if (!isAbsolute) kept.push(segment)
  }
  const end = path.endsWith('/') && kept.length > 0 ? '/' : ''
  const plain = `${isAbsolute ? '/' : ''}${kept.join('/')}${end}`
  return plain === '' ? (path.endsWith('/') ? './' : '.') : plain
}

const rules = (): PathRules => (hostProcess === null ? portablePaths : builtin('node:path'))

/** Joins and normalises path segments. */
export function joinPath(...segments: string[]): string {
  return rules().join(...segments)
}

/** The absolute form of a path. */
export function absolutePath(path: string): string {
  return rules().resolve(path)
}

/** The folder of a path. */
export function folderOf(path: string): string {
  return rules().dirname(path)
}

/** The last segment of a path. */
export function fileNameOf(path: string): string {
  return rules().basename(path)
}

/** A `file:` URL as a path of this system. */
export function pathOfUrl(url: URL | string): string {
  return builtin('node:url').fileURLToPath(url)
}

/** The folder for temporary files. */
export function temporaryFolder(): string {
  return builtin('node:os').tmpdir()
}

/** The path of a file of an installed package, such as `name/package.json`. @throws the host's error if it is not */
export function packageFile(file: string): string {
  const { createRequire } = builtin('node:module')
  return createRequire(import.meta.url).resolve(file)
}

/** Whether an import would find a package, as far as the runtime lets us see. */
export function hasPackage(name: string): boolean {
  try {
    packageFile(`${name}/package.json`)
    return true
  } catch (error) {
    // A package may keep its package.json to itself, and Deno may allow no look.
    return (error as { readonly code?: unknown }).code !== 'MODULE_NOT_FOUND'
  }
}
