/**
 * Planted bugs for the laws of the ops (law 10): each of these mutants is killed by every law that claims to see it.
 *
 * A mutant is the reference with one op replaced. With the op replaced by itself the same laws hold, so it is the bug that
 * kills and not the planting.
 */
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { opNames } from '../../src/ops/catalog.ts'
import { verdict } from '../harness/mutate.ts'
import { attentionMutants } from './attention.ts'
import { linearMutants } from './linear.ts'
import { lossMutants } from './losses.ts'
import { otherMutants } from './others.ts'

const reference = await createBackend('reference')
const mutants = [...linearMutants, ...attentionMutants, ...lossMutants, ...otherMutants]

describe.each(mutants.map((mutant) => [`${mutant.op} ${mutant.bug}`, mutant] as const))('%s', (_, mutant) => {
  test.each(mutant.laws.map((law) => [law.sentence, law] as const))('is seen by: %s', async (_, law) => {
    expect(await verdict(law, mutant.plantNothing(reference))).toBeNull()
    expect(await verdict(law, mutant.plant(reference))).not.toBeNull()
    expect(reference.liveBuffers).toBe(0)
  })
})

test('every op has a mutant', () => {
  const mutated = new Set(mutants.map(({ op }) => op))
  expect(opNames.filter((name) => !mutated.has(name))).toEqual([])
})
