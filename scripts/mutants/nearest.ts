/**
 * Which spec files judge a source file, nearest first.
 *
 * A module uses another if it imports it or has its path in a string, since threads and programs are started by path. A spec
 * file that does not use a source file, directly or through others, nor names it, cannot find a mutant of it.
 */
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { posix } from 'node:path'
import { type Module, root, walk } from '../../spec/harness/syntax.ts'

/** For each module the modules that use it; imports of types do not count. */
export type Users = ReadonlyMap<string, readonly string[]>

/** The users of each module. @param doors the source files behind the exports of this package, by import specifier */
export function usersOf(modules: readonly Module[], doors: Readonly<Record<string, string>> = {}): Users {
  const users = new Map(modules.map(({ path }) => [path, [] as string[]]))
  for (const module of modules) {
    const used = new Set<string>()
    const types = new Set<unknown>()
    for (const statement of module.body) {
      walk(statement, (node) => {
        if (node.importKind === 'type' || node.exportKind === 'type') types.add(node.source)
        if (node.type === 'TSImportType') types.add(node.source)
        if (node.type !== 'Literal' || typeof node.value !== 'string' || types.has(node)) return
        const named = Object.hasOwn(doors, node.value) ? doors[node.value] : node.value
        for (const path of [named, posix.join(posix.dirname(module.path), named)])
          if (users.has(path)) used.add(path)
      })
    }
    for (const path of used) users.get(path)?.push(module.path)
  }
  return users
}

/** The source file behind each export of this package, by its import specifier. */
export function doorsOf(): Record<string, string> {
  const { name, exports } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as {
    name: string
    exports: Record<string, string | Record<string, string>>
  }
  return Object.fromEntries(
    Object.entries(exports).flatMap(([door, target]) =>
      typeof target === 'string' ? [] : [[name + door.slice(1), target['@shadowllm/source'].slice(2)]],
    ),
  )
}

/** How many steps it is from a module to each that uses it, directly or through others. */
function distancesFrom(path: string, users: Users): Map<string, number> {
  const distances = new Map([[path, 0]])
  // The iteration of a map visits the keys that are added meanwhile too.
  for (const [module, distance] of distances) {
    for (const user of users.get(module) ?? []) if (!distances.has(user)) distances.set(user, distance + 1)
  }
  return distances
}

/** Each time a file takes this many seconds it is ranked one step further away. */
const SECONDS_PER_STEP = 10

/** What else is known of spec files. */
export interface Known {
  /** The tests of the source file (spec/harness/tested.ts). */
  readonly own?: readonly string[]
  /** The times of spec files. */
  readonly seconds?: ReadonlyMap<string, number>
}

/**
 * The spec files that can find a mutant of `file`: its own tests first, then by steps. Another folder counts as four steps more.
 * @param specs the spec files of the tier
 */
export function nearestSpecs(
  file: string,
  specs: readonly string[],
  users: Users,
  { own = [], seconds = new Map() }: Known = {},
): string[] {
  const distances = distancesFrom(file, users)
  const [, folder] = file.split('/')
  const rank = (spec: string): number => {
    const same = spec.startsWith(`spec/${folder}/`)
    if (own.includes(spec)) return 0
    return (distances.get(spec) ?? 0) + (same ? 0 : 4) + (seconds.get(spec) ?? 0) / SECONDS_PER_STEP
  }
  // A page in a browser is started by no import.
  const asked = specs.filter((spec) => distances.has(spec) || own.includes(spec))
  return asked.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
}

/** Where the seconds are kept that spec files took while mutants were judged. */
const timesPath = `${root}build/mutants_seconds.json`

/** Keeps the seconds that spec files took. */
export function rememberTimes(times: ReadonlyMap<string, number>): void {
  writeFileSync(timesPath, `${JSON.stringify(Object.fromEntries(times), null, 1)}\n`)
}

/** The seconds that spec files took in their last run in this checkout: while mutants were judged, or in the cache of vitest. */
export function rememberedTimes(): Map<string, number> {
  const times = new Map<string, number>()
  for (const path of globSync(`${root}node_modules/.vite/vitest/*/results.json`)) {
    const { projects } = JSON.parse(readFileSync(path, 'utf8')) as {
      projects?: Record<string, { files?: Record<string, { duration?: number }> }>
    }
    for (const { files } of Object.values(projects ?? {}))
      for (const [spec, { duration }] of Object.entries(files ?? {})) times.set(spec, (duration ?? 0) / 1000)
  }
  if (existsSync(timesPath))
    for (const [spec, seconds] of Object.entries(JSON.parse(readFileSync(timesPath, 'utf8'))))
      times.set(spec, Number(seconds))
  return times
}
