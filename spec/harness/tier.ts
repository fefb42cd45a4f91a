/**
 * The tiers of the suite. SHADOWLLM_TIER chooses one; `scripts/test.ts` sets it.
 *
 *   quick   npm test             every law on `reference` and `wasm`, in this process
 *   rest    npm run test:rest    the other backends and cases, and what needs compilers, processes, servers, browsers
 *   full    npm run test:full    quick and rest in one run
 *   soak    npm run test:soak    long runs; SHADOWLLM_SOAK scales their length
 *
 * A file named `*.full.spec.ts` is in the tiers rest and full, one named `*.soak.spec.ts` in soak only, every other `*.spec.ts`
 * in quick and full. Such a file is in rest as well if it looks at its tier: if it, or a file of `spec` that it imports, imports
 * this one.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The tiers, shortest first. */
export const tiers = ['quick', 'rest', 'full', 'soak'] as const

/** A tier of the suite. */
export type Tier = (typeof tiers)[number]

/**
 * The tier of this name; quick for no name.
 * @throws RangeError for any other name
 */
export function readTier(text: string | undefined): Tier {
  if (!text) return 'quick'
  const tier = tiers.find((name) => name === text)
  if (tier === undefined)
    throw new RangeError(`SHADOWLLM_TIER: expected one of ${tiers.join(', ')}, got ${text}`)
  return tier
}

/** The tier of this run. */
const tierHere = readTier(process.env.SHADOWLLM_TIER)

/** Whether this run is of the quick tier. */
export const isQuick: boolean = tierHere === 'quick'

/** Whether this run leaves out what the quick tier judges. */
export const isRest: boolean = tierHere === 'rest'

/** The spec files of a tier, as patterns for vitest. */
export function specFilesOf(tier: Tier): { include: string[]; exclude: string[] } {
  const [full, soak] = ['spec/**/*.full.spec.ts', 'spec/**/*.soak.spec.ts']
  if (tier === 'soak') return { include: [soak], exclude: [] }
  if (tier === 'rest') return { include: [full, ...filesThatLookAtTheirTier()], exclude: [soak] }
  return { include: ['spec/**/*.spec.ts'], exclude: tier === 'full' ? [soak] : [full, soak] }
}

/** The spec files that reach this file by imports within `spec`, as paths from the root. */
function filesThatLookAtTheirTier(): string[] {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const importers = new Map<string, string[]>()
  for (const path of globSync('spec/**/*.ts', { cwd: root }))
    for (const [, to] of readFileSync(join(root, path), 'utf8').matchAll(/(?:from |import\()'(\.[^']*)'/g)) {
      const imported = join(dirname(path), to)
      importers.set(imported, [...(importers.get(imported) ?? []), path])
    }
  const found = new Set(['spec/harness/tier.ts'])
  for (const path of found) for (const importer of importers.get(path) ?? []) found.add(importer)
  return [...found].filter((path) => path.endsWith('.spec.ts')).toSorted()
}

/** The number of cases of a slow law: few in the quick tier, the others in the tier rest. */
export function casesAtTier(quick: number, full: number, tier: Tier = tierHere): number {
  if (tier === 'rest') return full - quick
  return tier === 'quick' ? quick : full
}

/**
 * Whether a tier tries a numbered case of many: one in so many is of the quick tier, the others are of the tier rest.
 * @param stride one in how many
 */
export function isAtTier(number: number, stride: number, tier: Tier = tierHere): boolean {
  const isOfQuick = number % stride === 0
  if (tier === 'rest') return !isOfQuick
  return tier === 'quick' ? isOfQuick : true
}
