/**
 * Scores and budgets to draw from, and how laws of selectMask are stated: as functions of an implementation of it, so
 * that a mutant can be held to them too.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { scopes, type Budget, type Scope } from '../../src/masks/budget.ts'
import type { UnitMask } from '../../src/masks/mask.ts'
import { selectMask, type UnitScores } from '../../src/masks/selection.ts'
import { checkLaw, law, type Arbitraries } from '../harness/seed.ts'

export type Select = (scores: UnitScores, budget: Budget) => UnitMask

/** Scores of a few layers; a small range of whole numbers makes ties frequent. */
export const someScores: fc.Arbitrary<UnitScores> = fc
  .record({
    layers: fc.integer({ min: 1, max: 5 }),
    heads: fc.integer({ min: 1, max: 9 }),
    neurons: fc.integer({ min: 1, max: 37 }),
  })
  .chain((shape) => {
    const table = (length: number): fc.Arbitrary<Float32Array> =>
      fc
        .array(fc.oneof(fc.integer({ min: -2, max: 2 }), fc.float({ noNaN: true })), {
          minLength: length,
          maxLength: length,
        })
        .map((values) => Float32Array.from(values))
    return fc.record({
      shape: fc.constant(shape),
      heads: table(shape.layers * shape.heads),
      neurons: table(shape.layers * shape.neurons),
    })
  })

export const someSparsity = fc.oneof(
  fc.constantFrom(0, 0.3, 0.5, 0.7, 0.9, 0.95, 1),
  fc.double({ min: 0, max: 1, noNaN: true }),
)
export const someScope = fc.constantFrom<Scope>(...scopes)

export const count = (mask: Float32Array): number => mask.reduce((total, value) => total + value, 0)
export const rowsOf = (mask: Float32Array, units: number): Float32Array[] =>
  Array.from({ length: mask.length / units }, (_, layer) => mask.subarray(layer * units, (layer + 1) * units))

/** Both kinds of unit: [mask, scores, units per layer]. */
export const kinds = (mask: UnitMask, scores: UnitScores): [Float32Array, Float32Array, number][] => [
  [mask.heads, scores.heads, mask.shape.heads],
  [mask.neurons, scores.neurons, mask.shape.neurons],
]

/** A law of an implementation of selectMask. */
export interface MaskLaw<Args extends [unknown, ...unknown[]]> {
  arbitraries: Arbitraries<Args>
  holds: (select: Select, ...args: Args) => void
}

/** The same law among others, whatever it draws. */
export const describeLaw = <Args extends [unknown, ...unknown[]]>(entry: MaskLaw<Args>): MaskLaw<[unknown]> =>
  entry as unknown as MaskLaw<[unknown]>

/** States laws of the real selectMask, one test each. */
export function stateMaskLaws(laws: Readonly<Record<string, MaskLaw<[unknown]>>>): void {
  for (const [name, { arbitraries, holds }] of Object.entries(laws))
    law(name, arbitraries, (argument, ...rest) => holds(selectMask, argument, ...(rest as [])))
}

/** Shows that each mutant breaks the law named beside it. */
export function killMutants(
  laws: Readonly<Record<string, MaskLaw<[unknown]>>>,
  mutants: readonly (readonly [string, Select, string])[],
): void {
  for (const [name, mutant, lawName] of mutants)
    test(`${name}: killed`, async () => {
      const { arbitraries, holds } = laws[lawName]
      const broken = checkLaw(
        `mutant: ${name}`,
        arbitraries,
        (argument, ...rest) => holds(mutant, argument, ...(rest as [])),
        { record: false, runs: 300 },
      )
      await expect(broken).rejects.toThrow('Property failed')
    })
}
