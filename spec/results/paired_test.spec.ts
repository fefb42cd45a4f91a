/**
 * The paired randomization test has the p of all exchanges tried one by one, and is right as often as it says; Holm's
 * correction is that of its definition.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { holm, pairedP } from '../../src/results/paired_test.ts'
import { Random } from '../../src/tensor/random.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

type Test = (differences: readonly number[]) => number

/** Differences that float64 adds exactly, zeros and equal ones among them. */
const someDifferences = fc.array(fc.integer({ min: -6, max: 9 }), { minLength: 2, maxLength: 9, size: 'max' })

const isShareOfExchanges = lawForAll(
  'p is the share of all exchanges under which the sum is as far from zero',
  { differences: someDifferences },
  (p: Test, { differences }) => {
    let sums = [0]
    for (const value of differences) sums = sums.flatMap((sum) => [sum + value, sum - value])
    const found = Math.abs(differences.reduce((sum, value) => sum + value, 0))
    expect(p(differences)).toBe(sums.filter((sum) => Math.abs(sum) >= found).length / sums.length)
  },
)
stateLaw(isShareOfExchanges, pairedP)

killsEach('another way to count is found: %s', isShareOfExchanges, {
  'one side alone': (differences) => pairedP(differences) / 2,
  'sizes without their signs': (differences) => pairedP(differences.map(Math.abs)),
  'a document left out': (differences) => pairedP(differences.slice(1)),
  'exchanges that are as far are not counted': (differences) =>
    Math.max(0, pairedP(differences) - 2 / 2 ** differences.length),
})

describe('for more units than all exchanges are tried for', () => {
  const normal = (random: Random, units: number, shift = 0): number[] =>
    Array.from({ length: units }, () => random.normal() + shift)
  /** How often p is at most a twentieth, of 400 sets of twenty differences each. */
  const oftenOf = (p: Test, shift: number): number => {
    const random = new Random(5)
    return (
      Array.from({ length: 400 }, () => p(normal(random, 20, shift))).filter((one) => one <= 0.05).length /
      400
    )
  }
  // Each p in a draw of its own is slow: this one draws 999 exchanges.
  const drawn: Test = (differences) => pairedP(differences, 999)

  test('chance alone makes p as small as a level as often as the level says, and a difference more often', () => {
    // Four standard errors of a share of 400.
    expect(Math.abs(oftenOf(drawn, 0) - 0.05)).toBeLessThan(0.044)
    expect(oftenOf(drawn, 1)).toBeGreaterThan(0.9)
  })

  test('p is that of all exchanges, as near as draws come, and the same each time', () => {
    const random = new Random(6)
    for (const shift of [0.2, 0.5]) {
      const differences = normal(random, 16, shift)
      const exact = pairedP(differences)
      // A unit without a difference changes nothing, but that exchanges are drawn.
      const found = pairedP([...differences, 0])
      expect(Math.abs(found - exact)).toBeLessThan(4 * Math.sqrt((exact * (1 - exact)) / 65_535) + 2 / 65_535)
      expect(pairedP([...differences, 0])).toBe(found)
    }
  })

  test('p is never zero', () => expect(drawn(new Array<number>(40).fill(1))).toBe(1 / 1000))
})

test('one document tells nothing', () => {
  expect(pairedP([])).toBe(1)
  expect(pairedP([3])).toBe(1)
})

type Correct = (ps: readonly number[]) => number[]

const isHolm = lawForAll(
  'a p is corrected to the least level at which Holm would reject its test',
  { ps: fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 8, size: 'max' }) },
  (correct: Correct, { ps: twentieths }) => {
    const ps = twentieths.map((one) => one / 20)
    const corrected = correct(ps)
    // Rejected at a level: in rising order, until one is above the level over the number of those left.
    const rejectedAt = (level: number): boolean[] => {
      const order = ps.map((_, i) => i).toSorted((a, b) => ps[a] - ps[b])
      const end = order.findIndex((i, rank) => ps[i] * (ps.length - rank) > level)
      const passed = new Set(order.slice(0, end === -1 ? undefined : end))
      return ps.map((_, i) => passed.has(i))
    }
    for (const level of [0, 0.05, 0.2, 0.25, 0.5, 0.75, 0.95])
      expect(corrected.map((p) => p <= level)).toEqual(rejectedAt(level))
    for (const p of corrected) expect(p).toBeLessThanOrEqual(1)
  },
)
stateLaw(isHolm, holm)

killsEach('another correction is found: %s', isHolm, {
  none: (ps) => [...ps],
  'that of Bonferroni': (ps) => ps.map((p) => Math.min(1, p * ps.length)),
  'in rising order': (ps) => holm(ps).toSorted((a, b) => a - b),
  'one that may fall': (ps) => {
    const order = ps.map((_, i) => i).toSorted((a, b) => ps[a] - ps[b])
    return ps.map((p, i) => Math.min(1, p * (ps.length - order.indexOf(i))))
  },
})
