/**
 * TypeScript sources as trees, for the laws about the sources themselves. Parsed by oxc (through vite), so strings,
 * comments and type positions are never mistaken for code.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync } from 'vite'

/** The repository root, with a slash at its end. */
export const root: string = fileURLToPath(new URL('../..', import.meta.url))

/** A file: its path from the root, with forward slashes, and its text. */
export interface Source {
  readonly path: string
  readonly text: string
}

/** A node of the tree: ESTree with TypeScript's additions. Fields beyond these are reached by name. */
export interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [field: string]: unknown
}

export interface Comment {
  readonly type: 'Line' | 'Block'
  readonly value: string
  readonly start: number
  readonly end: number
}

/** A parsed source. */
export interface Module extends Source {
  readonly body: readonly Node[]
  readonly comments: readonly Comment[]
}

/**
 * Parses one source.
 * @throws SyntaxError naming the file.
 */
export function parseModule({ path, text }: Source): Module {
  const { program, comments, errors } = parseSync(path, text)
  if (errors.length > 0) throw new SyntaxError(`${path}: ${errors[0].message}`)
  return { path, text, body: program.body as unknown as Node[], comments }
}

/** Calls `visit` on every node under `node`, itself included, outer nodes first; `key` is the parent's field. */
export function walk(
  node: Node,
  visit: (node: Node, parent: Node | null, key: string) => void,
  parent: Node | null = null,
  key = '',
): void {
  visit(node, parent, key)
  eachChild(node, (field, child) => walk(child, visit, node, field))
}

/** The nodes directly under a node, each with its field. */
export function childrenOf(node: Node): (readonly [string, Node])[] {
  const children: [string, Node][] = []
  eachChild(node, (field, child) => children.push([field, child]))
  return children
}

/** Calls `visit` on every node directly under a node. The rules visit millions: no list is made. */
function eachChild(node: Node, visit: (field: string, child: Node) => void): void {
  for (const field of Object.keys(node)) {
    const value = node[field]
    if (Array.isArray(value)) {
      for (const child of value) if (isNode(child)) visit(field, child)
    } else if (isNode(value)) visit(field, value)
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
}

/** Where a place in a source is, as `path:line`. */
export function place({ path, text }: Source, offset: number): string {
  return `${path}:${text.slice(0, offset).split('\n').length}`
}

/**
 * Every file of a folder (a path from the root) whose name ends with `ending`, in order of path, packages that are
 * installed there and the site that is built there aside; none if the folder is not there.
 */
export function readSources(folder: string, ending = '.ts'): Source[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length).replaceAll('\\', '/'))
    .filter((path) => !path.split('/').includes('node_modules') && !path.startsWith('docs/site/'))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}
