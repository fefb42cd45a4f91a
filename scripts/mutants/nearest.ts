/**
 * Which spec files judge a source, nearest first.
 *
 * Modules are joined by what they import and by the paths of others in their strings, which is how threads and programs are
 * started. A spec file that no such way leads from cannot tell a mutant of the source.
 */
import { globSync, readFileSync } from 'node:fs'
import { basename, posix } from 'node:path'
import { type Module, root, walk } from '../../spec/harness/syntax.ts'

/** For each module the modules that use it, types aside. */
export type Users = ReadonlyMap<string, readonly string[]>

/** Who uses whom. @param doors what the package's own name stands for, by specifier */
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

/** How many steps it is from a module to each that uses it, directly or through others. */
function distancesFrom(path: string, users: Users): Map<string, number> {
  const distances = new Map([[path, 0]])
  // The keys of a map are visited in the order in which they came, those that came meanwhile too.
  for (const [module, distance] of distances) {
    for (const user of users.get(module) ?? []) if (!distances.has(user)) distances.set(user, distance + 1)
  }
  return distances
}

/** A file that takes this many seconds waits as if it were one step further away. */
const SECONDS_PER_STEP = 20

/**
 * The spec files that can tell a mutant of `file`: that of the same name first, then by steps, where another folder counts
 * as four steps more.
 * @param specs the spec files of the tier
 * @param seconds what is known of their times
 */
export function nearestSpecs(
  file: string,
  specs: readonly string[],
  users: Users,
  seconds: ReadonlyMap<string, number> = new Map(),
): string[] {
  const distances = distancesFrom(file, users)
  const [, folder] = file.split('/')
  const rank = (spec: string): number => {
    const same = spec.startsWith(`spec/${folder}/`)
    if (same && basename(spec, '.spec.ts') === basename(file, '.ts')) return 0
    return (distances.get(spec) ?? 0) + (same ? 0 : 4) + (seconds.get(spec) ?? 0) / SECONDS_PER_STEP
  }
  return specs.filter((spec) => distances.has(spec)).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
}

/** The seconds that spec files took when they last ran in this checkout, as vitest remembers them. */
export function rememberedTimes(): Map<string, number> {
  const times = new Map<string, number>()
  for (const path of globSync(`${root}node_modules/.vite/vitest/*/results.json`)) {
    const { projects } = JSON.parse(readFileSync(path, 'utf8')) as {
      projects?: Record<string, { files?: Record<string, { duration?: number }> }>
    }
    for (const { files } of Object.values(projects ?? {}))
      for (const [spec, { duration }] of Object.entries(files ?? {})) times.set(spec, (duration ?? 0) / 1000)
  }
  return times
}
