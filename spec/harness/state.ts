/**
 * States laws of src/verify as tests, one each, over every backend.
 */
import { describe, test } from 'vitest'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { overBackends } from './backends.ts'
import { checkOn } from './seed.ts'

/** Laws in groups, by title. */
export type LawGroups = Readonly<Record<string, readonly BackendLaw[]>>

/** States laws, one test each, over every backend, or those it is told. */
export function stateLaws(groups: LawGroups, over: typeof overBackends = overBackends): void {
  over((backend) => {
    describe.each(Object.entries(groups))('%s', (_, laws) => {
      for (const law of laws) test(law.sentence, () => checkOn(law, backend))
    })
  })
}
