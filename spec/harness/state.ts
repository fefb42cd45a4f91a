/**
 * States laws of src/verify as tests, one each, over every backend.
 */
import { test } from 'vitest'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { overBackends } from './backends.ts'
import { checkOn } from './seed.ts'

/** States laws, one test each, over every backend. */
export function stateLaws(laws: Iterable<BackendLaw> | Readonly<Record<string, BackendLaw>>): void {
  const list = Symbol.iterator in laws ? [...(laws as Iterable<BackendLaw>)] : Object.values(laws)
  overBackends((backend) => {
    for (const law of list) test(law.sentence, () => checkOn(law, backend))
  })
}
