/**
 * What a module loads when it starts: the files and packages that it imports statically, directly or through others.
 */
import { posix } from 'node:path'
import type { Module, Node } from './syntax.ts'

/** What is loaded before a module runs. */
export interface Loaded {
  /** Files, as paths from the root, the module itself among them. */
  readonly files: ReadonlySet<string>
  /** Names of packages, as they are imported. */
  readonly packages: ReadonlySet<string>
}

/** The specifiers of a module's static imports. `import type` is erased; `import { type A }` still loads the file. */
function namesIn({ body }: Module): string[] {
  return body
    .filter(({ type, source }) => /^(Import|ExportAll|ExportNamed)Declaration$/.test(type) && source)
    .filter(({ importKind, exportKind }) => importKind !== 'type' && exportKind !== 'type')
    .map(({ source }) => (source as Node).value as string)
}

/** Follows static imports from a module. @param path of the module */
export function loadedBy(path: string, modules: ReadonlyMap<string, Module>): Loaded {
  const files = new Set<string>()
  const packages = new Set<string>()
  const visit = (at: string): void => {
    if (files.has(at)) return
    files.add(at)
    const module = modules.get(at)
    for (const name of module === undefined ? [] : namesIn(module))
      if (name.startsWith('.')) visit(posix.join(posix.dirname(at), name))
      else packages.add(name)
  }
  visit(path)
  return { files, packages }
}
