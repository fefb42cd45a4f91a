/**
 * A sorted picture of scores marks the units that the mask keeps, wherever they rank.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { makeBudget, scopes } from '../../../src/masks/budget.ts'
import { selectMask } from '../../../src/masks/selection.ts'
import { cutWords, keptWords, rankUnits, type Ranking } from '../../../src/web/trace/ranking.ts'
import { killsEach, lawForAll, stateLaw } from '../../harness/seed.ts'

const score = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(NaN), fc.constant(-Infinity))

const isRanked = lawForAll(
  'scores fall, each unit keeps its score and its verdict, and the first skipped one ends the leading',
  {
    heads: fc.array(score, { minLength: 12, maxLength: 12 }),
    sparsity: fc.integer({ min: 0, max: 20 }).map((n) => n / 20),
    scope: fc.constantFrom(...scopes),
  },
  (rank: typeof rankUnits, { heads, sparsity, scope }) => {
    const scores = Float32Array.from(heads)
    const shape = { layers: 4, heads: 3, neurons: 1 }
    const given = { shape, heads: scores, neurons: new Float32Array(4) }
    const mask = selectMask(given, makeBudget(sparsity, { scope, denseLayers: 0 })).heads
    const ranking = rank(scores, mask)
    const worth = Array.from(ranking.scores, (one) => (Number.isNaN(one) ? -Infinity : one))
    expect(worth).toEqual(worth.toSorted((a, b) => (a === b ? 0 : b - a)))
    const pairs = (values: ArrayLike<number>, kept: ArrayLike<number>): string[] =>
      Array.from(values, (value, i) => `${value}: ${kept[i]}`).toSorted()
    expect(pairs(ranking.scores, ranking.kept)).toEqual(pairs(scores, mask))
    expect(ranking.count).toBe(mask.filter((one) => one !== 0).length)
    const before = Array.from(ranking.kept).findIndex((one) => one === 0)
    expect(ranking.leading).toBe(before < 0 ? 12 : before)
  },
)
stateLaw(isRanked, rankUnits)

const changed =
  (change: (ranking: Ranking) => Partial<Ranking>): typeof rankUnits =>
  (scores, mask) => {
    const ranking = rankUnits(scores, mask)
    return { ...ranking, ...change(ranking) }
  }
killsEach('a ranking that %s is found', isRanked, {
  'marks the first of the sorted units': changed(({ kept, count }) => ({
    kept: kept.map((_, i) => (i < count ? 1 : 0)),
  })),
  'turns the order': changed(({ scores }) => ({ scores: scores.toReversed() })),
  'takes all kept units for the leading ones': changed(({ count }) => ({ leading: count })),
})

test('the words tell the best units from those that their layers keep', () => {
  const words = (...mask: number[]): string =>
    keptWords(
      rankUnits(
        Float32Array.from(mask, (_, i) => -i),
        Float32Array.from(mask),
      ),
    )
  expect(words(1, 1, 0, 0)).toBe('the best 2 of 4 kept')
  expect(words(1, 0, 1, 0)).toBe('2 of 4 kept: the best 1, and 1 as the best of its layer')
  expect(words(0, 0, 1, 1)).toBe('2 of 4 kept: 2 as the best of their layers')
  expect(words(0, 0)).toBe('none of 2 kept')
})

test('the words of the cut tell the score of the best skipped unit, where some are skipped', () => {
  const words = (...mask: number[]): string =>
    cutWords(
      rankUnits(
        Float32Array.from(mask, (_, i) => 10 - i),
        Float32Array.from(mask),
      ),
      String,
    )
  expect(words(1, 1, 0, 0)).toBe('the best skipped unit scores 8')
  expect(words(1, 0, 1, 0)).toBe('the best skipped unit scores 9')
  expect(words(1, 1)).toBe('')
  expect(words(0, 0)).toBe('')
})
