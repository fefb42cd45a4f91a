/**
 * Planted bugs for the laws of the ops (law 10): each of these mutants is killed by every law that claims to see it, and
 * no law of an op is without a mutant.
 *
 * A mutant is the reference with one op replaced. With the op replaced by itself the same laws hold, so it is the bug that
 * kills and not the planting. A run with fewer cases per law than usual (SHADOWLLM_RUNS below 1) skips them: a law may
 * then try too few cases to see its mutant.
 */
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { opNames } from '../../src/ops/catalog.ts'
import { pageLaws, sharedLaws } from '../../src/verify/ops/index.ts'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { verdict } from '../harness/mutate.ts'
import { scaledRuns } from '../harness/seed.ts'
import { mutants } from './all.ts'
import type { Mutant } from './mutant.ts'

const reference = await createBackend('reference')
/** Verdicts on backends with nothing planted; several mutants ask for the same. */
const soundVerdicts = new Map<string, Promise<string | null>>()

function verdictWithoutBug(law: BackendLaw, mutant: Mutant): Promise<string | null> {
  const key = `${mutant.op} ${law.sentence}`
  const known = soundVerdicts.get(key) ?? verdict(law, mutant.plantNothing(reference))
  soundVerdicts.set(key, known)
  return known
}

describe
  .skipIf(scaledRuns(100) < 100)
  .each(mutants.map((mutant) => [`${mutant.op} ${mutant.bug}`, mutant] as const))('%s', (_, mutant) => {
  test.each(mutant.laws.map((law) => [law.sentence, law] as const))('is seen by: %s', async (_, law) => {
    expect(await verdictWithoutBug(law, mutant)).toBeNull()
    expect(await verdict(law, mutant.plant(reference))).not.toBeNull()
    expect(reference.liveBuffers).toBe(0)
  })
})

test('every op has a mutant', () => {
  const mutated = new Set(mutants.map(({ op }) => op))
  expect(opNames.filter((name) => !mutated.has(name))).toEqual([])
})

test('every law of an op is broken by a mutant', () => {
  const broken = new Set(mutants.flatMap((mutant) => mutant.laws.map(({ sentence }) => sentence)))
  const sentences = [...sharedLaws, ...pageLaws].map(({ sentence }) => sentence)
  expect(sentences.filter((sentence) => !broken.has(sentence))).toEqual([])
})
