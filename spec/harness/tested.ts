/**
 * Where the test of a module stands: rules from sources to their violations, one line each. `architecture.spec.ts` applies them to
 * src/ and to planted violations.
 *
 * A module is tested under its own path, `src/a/b.ts` in `spec/a/b.spec.ts`, or by a file that names it in the comment at its
 * head: `Tests src/a/b.ts and src/a/c.ts.` Such a file is a spec, or a page of laws in src/verify. A module of types alone needs no
 * test.
 */
import { posix } from 'node:path'
import { usersOf } from '../../scripts/mutants/nearest.ts'
import type { Module, Node, Source } from './syntax.ts'

/** What a name ends with that stands under the path of its module. */
const endings = ['.spec.ts', '.full.spec.ts', '.mutants.ts']

const testedBySource = new WeakMap<Source, readonly string[]>()

/** The paths that the comment at the head of a file names after the word "Tests"; a folder ends with a slash. */
function testedPaths(source: Source): readonly string[] {
  const known = testedBySource.get(source) ?? readTestedPaths(source)
  testedBySource.set(source, known)
  return known
}

function readTestedPaths({ text }: Source): string[] {
  const head = /^\/\*\*([\s\S]*?)\*\//.exec(text)?.[1].replace(/\s*\n \*\s*/g, ' ') ?? ''
  const lists = head.matchAll(/\bTests ((?:(?:, | and )?src\/[\w/]+(?:\.ts|\/))+)/g)
  return [...lists].flatMap(([, list]) => list.split(/, | and /))
}

/** Whether a path is named, alone or by its folder. */
function isNamed(path: string, named: readonly string[]): boolean {
  return named.some((name) => name === path || (name.endsWith('/') && path.startsWith(name)))
}

/** Whether there is anything in a module that runs: it has statements that are no types, imports or exports of other modules. */
function hasCode({ body }: Module): boolean {
  const isType = (node: Node): boolean => /^TS(Interface|TypeAlias)Declaration$/.test(node.type)
  return body.some((statement) => {
    if (/^(Import|ExportAll)Declaration$/.test(statement.type) || isType(statement)) return false
    if (statement.type !== 'ExportNamedDeclaration') return true
    const declaration = statement.declaration as Node | null
    return declaration !== null && !isType(declaration)
  })
}

/** Whether the head of a file may name modules: that of a spec, or of a page of laws. */
function mayName({ path }: Source): boolean {
  return path.endsWith('.spec.ts') || path.startsWith('src/verify/')
}

/** The tests of a module of src: those under its path, and those that name it. */
export function testsOf(path: string, sources: readonly Source[]): string[] {
  const inSrc = path.replace(/^src\//, '').replace(/\.ts$/, '')
  const own = [...endings.map((ending) => `spec/${inSrc}${ending}`), `src/verify/${inSrc}.ts`]
  return sources
    .filter((source) => own.includes(source.path) || (mayName(source) && isNamed(path, testedPaths(source))))
    .map((source) => source.path)
    .filter((test) => test !== path)
}

/** Modules with code that have no test. */
export function untestedModules(modules: readonly Module[]): string[] {
  return modules
    .filter((module) => module.path.startsWith('src/') && hasCode(module))
    .map(({ path }) => path)
    .filter((path) => testsOf(path, modules).length === 0)
}

/**
 * What tests name without reason: a path of no module, and a module that they do not reach through imports.
 * @param pages the modules that pages of src/web start with, by the support file through which a spec opens pages
 */
export function namedInVain(
  modules: readonly Module[],
  doors: Readonly<Record<string, string>>,
  pages: { readonly openedBy: string; readonly modules: readonly string[] },
): string[] {
  const users = usersOf(modules, doors)
  const src = modules.map(({ path }) => path).filter((path) => path.startsWith('src/'))
  /** Each module that reaches this one, and this one. */
  const reachedFrom = (path: string): Set<string> => {
    const found = new Set([path])
    // The iteration of a set visits the members that are added meanwhile too.
    for (const module of found) {
      for (const user of users.get(module) ?? []) found.add(user)
      if (pages.modules.includes(module)) found.add(pages.openedBy)
    }
    return found
  }
  const naming = modules
    .filter(mayName)
    .flatMap((test) => testedPaths(test).map((named) => [test.path, named] as const))
  return naming.flatMap(([test, named]) => {
    const files = src.filter((path) => isNamed(path, [named]))
    if (files.length === 0) return [`${test}: names ${named}, which does not exist`]
    return files
      .filter((path) => !reachedFrom(path).has(test))
      .map((path) => `${test}: names ${path}, which it does not reach`)
  })
}

/** The modules that the pages of a folder start with. @param pages HTML files */
export function pageModules(pages: readonly Source[]): string[] {
  return pages.flatMap(({ path, text }) =>
    [...text.matchAll(/<script type="module" src="([^"]+)"/g)].map(([, file]) =>
      posix.join(posix.dirname(path), file),
    ),
  )
}
