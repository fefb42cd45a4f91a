/**
 * States laws of src/verify as tests, one each, over every backend.
 */
import { describe, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { overBackends, shareOfCases, type Over } from './backends.ts'
import { checkOn, someOf } from './seed.ts'

/** Laws in groups, by title. */
export type LawGroups = Readonly<Record<string, readonly BackendLaw[]>>

const areLaws = { areLaws: true } as const

/** The share of a law's cases that a backend tries. */
type Share = (backend: Backend) => number

/** States laws, one test each, over every backend, or those it is told. */
export function stateLaws(groups: LawGroups, over: Over = overBackends, shareOf: Share = shareOfCases): void {
  over((backend) => {
    for (const [group, laws] of Object.entries(groups)) declare(group, laws, backend, shareOf)
  }, areLaws)
}

/** States laws of a group, one test each: a law over every backend before the next, so that backends can share what it computes. */
export function stateLawByLaw(group: string, laws: readonly BackendLaw[], over: Over = overBackends): void {
  over(
    laws.map((law) => (backend) => declare(group, [law], backend)),
    areLaws,
  )
}

function declare(
  group: string,
  laws: readonly BackendLaw[],
  backend: Backend,
  shareOf: Share = shareOfCases,
): void {
  const share = shareOf(backend)
  describe(group, () => {
    for (const law of laws) test(law.sentence, () => checkOn(someOf(law, share), backend))
  })
}
