/**
 * States laws of src/verify as tests, one each, over every backend.
 */
import { test } from 'vitest'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { overBackends } from './backends.ts'
import { checkOn } from './seed.ts'

/** States laws, one test each, over every backend, or those it is told. */
export function stateLaws(
  laws: Iterable<BackendLaw> | Readonly<Record<string, BackendLaw>>,
  over: typeof overBackends = overBackends,
): void {
  const list = Symbol.iterator in laws ? [...(laws as Iterable<BackendLaw>)] : Object.values(laws)
  over((backend) => {
    for (const law of list) test(law.sentence, () => checkOn(law, backend))
  })
}
