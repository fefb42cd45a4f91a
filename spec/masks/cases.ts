/**
 * How the laws of masks, which stand in src/verify/masks, are stated here: as tests of the real `selectMask`, and of
 * mutants that have to break them.
 */
import { expect, test } from 'vitest'
import { selectMask } from '../../src/masks/selection.ts'
import type { MaskLaw, Select } from '../../src/verify/masks/cases.ts'
import { kills, stateLaw } from '../harness/seed.ts'

export * from '../../src/verify/masks/cases.ts'

/** States laws of the real selectMask, one test each. */
export function stateMaskLaws(laws: Readonly<Record<string, MaskLaw>>): void {
  for (const law of Object.values(laws)) stateLaw(law, selectMask)
}

/** Shows that each mutant breaks the law named beside it, and that each law is broken by one. */
export function killMutants<Name extends string>(
  laws: Readonly<Record<Name, MaskLaw>>,
  mutants: readonly (readonly [bug: string, mutant: Select, law: Name])[],
): void {
  for (const [bug, mutant, name] of mutants) test(`${bug}: killed`, () => kills(laws[name], mutant))

  test('every law is broken by a mutant', () => {
    const broken = new Set<string>(mutants.map(([, , name]) => name))
    expect(Object.keys(laws).filter((name) => !broken.has(name))).toEqual([])
  })
}
