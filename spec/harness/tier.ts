/**
 * The tiers of the suite. SHADOWLLM_TIER chooses one; `scripts/test.ts` sets it.
 *
 *   quick   npm test             every law on `reference` and `wasm`, in this process
 *   full    npm run test:full    all of quick, the other backends, and what needs compilers, processes, servers, browsers
 *   soak    npm run test:soak    long runs; SHADOWLLM_SOAK scales their length
 *
 * A file named `*.full.spec.ts` is in the full tier only, one named `*.soak.spec.ts` in the soak tier only, every other
 * `*.spec.ts` in quick and full.
 */

/** The tiers, shortest first. */
export const tiers = ['quick', 'full', 'soak'] as const

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

/** Whether this run is of the quick tier. */
export const isQuick: boolean = readTier(process.env.SHADOWLLM_TIER) === 'quick'

/** The spec files of a tier, as patterns for vitest. */
export function specFilesOf(tier: Tier): { include: string[]; exclude: string[] } {
  const [full, soak] = ['spec/**/*.full.spec.ts', 'spec/**/*.soak.spec.ts']
  if (tier === 'soak') return { include: [soak], exclude: [] }
  return { include: ['spec/**/*.spec.ts'], exclude: tier === 'full' ? [soak] : [full, soak] }
}

/** The number of cases of a slow law: few in the quick tier, more in the full one. */
export function casesAtTier(quick: number, full: number): number {
  return isQuick ? quick : full
}
