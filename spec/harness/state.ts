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

/** States laws, one test each, over every backend, or those it is told. */
export function stateLaws(groups: LawGroups, over: Over = overBackends): void {
  const declare = (backend: Backend): void => {
    const share = shareOfCases(backend)
    describe.each(Object.entries(groups))('%s', (_, laws) => {
      for (const law of laws) test(law.sentence, () => checkOn(someOf(law, share), backend))
    })
  }
  over(declare, { areLaws: true })
}
