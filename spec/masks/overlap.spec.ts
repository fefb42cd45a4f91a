/**
 * Overlap of masks: recall, precision and Jaccard by their definition, and what follows from it.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeMask } from '../../src/masks/mask.ts'
import { maskOverlap, setOverlap, type Overlap } from '../../src/masks/overlap.ts'
import { kills, law, lawForAll, stateLaw } from '../harness/seed.ts'

const twoSets = fc
  .array(fc.tuple(fc.boolean(), fc.boolean()), { maxLength: 40 })
  .map((units) => [0, 1].map((side) => Float32Array.from(units, (unit) => (unit[side] ? 1 : 0))))

type Compare = (chosen: Float32Array, oracle: Float32Array) => Overlap

describe('overlap', () => {
  /** The definition, over sets of indices. */
  const byDefinition = lawForAll(
    'recall, precision and Jaccard are those of the sets',
    { twoSets },
    (compare: Compare, { twoSets: [chosen, oracle] }): void => {
      const setOf = (table: Float32Array): Set<number> =>
        new Set([...table.keys()].filter((unit) => table[unit] === 1))
      const [made, right] = [setOf(chosen), setOf(oracle)]
      const both = [...made].filter((unit) => right.has(unit)).length
      const share = (whole: number): number => (whole === 0 ? 1 : both / whole)
      expect(compare(chosen, oracle)).toEqual({
        recall: share(right.size),
        precision: share(made.size),
        jaccard: share(new Set([...made, ...right]).size),
      })
    },
  )
  stateLaw(byDefinition, setOverlap)

  law(
    'recall equals precision for sets of one size, and they swap with the sets',
    { twoSets },
    ({ twoSets: [a, b] }) => {
      const [there, back] = [setOverlap(a, b), setOverlap(b, a)]
      expect(back).toEqual({ recall: there.precision, precision: there.recall, jaccard: there.jaccard })
      if (a.filter(Boolean).length === b.filter(Boolean).length) expect(there.recall).toBe(there.precision)
    },
  )

  const mutants: Readonly<Record<string, Compare>> = {
    'recall and precision change places': (chosen, oracle) => setOverlap(oracle, chosen),
    'a unit that neither keeps counts as agreement': (chosen, oracle) => ({
      ...setOverlap(chosen, oracle),
      jaccard: chosen.filter((value, unit) => value === oracle[unit]).length / Math.max(1, chosen.length),
    }),
  }
  for (const [name, mutant] of Object.entries(mutants))
    test(`${name}: killed`, () => kills(byDefinition, mutant))

  test('dense layers are excluded', () => {
    const shape = { layers: 2, heads: 2, neurons: 3 }
    const mask = makeMask(shape, Float32Array.of(1, 1, 1, 0), Float32Array.of(1, 1, 1, 1, 1, 0))
    const oracle = makeMask(shape, Float32Array.of(1, 1, 0, 1), Float32Array.of(1, 1, 1, 1, 0, 0))
    expect(maskOverlap(mask, oracle)).toEqual({
      heads: { recall: 0, precision: 0, jaccard: 0 },
      neurons: { recall: 1, precision: 0.5, jaccard: 0.5 },
    })
    expect(maskOverlap(mask, oracle, 0).heads).toEqual({ recall: 2 / 3, precision: 2 / 3, jaccard: 0.5 })
    expect(() => setOverlap(mask.heads, oracle.neurons)).toThrow('chosen: expected [6], got 4 numbers')
  })
})
