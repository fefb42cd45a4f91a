/**
 * Turns are fair, and what is made of their samples is what it is called.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  deviation,
  judgeRatio,
  median,
  medianRatio,
  provenRatio,
  ratioInterval,
  ratioRange,
  turnOrder,
  type RatioInterval,
} from '../../src/results/interleaved_rounds.ts'
import { Random } from '../../src/tensor/random.ts'
import { kills, killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

type Order = typeof turnOrder

const sizes = { round: fc.nat(50), count: fc.integer({ min: 1, max: 9 }) }

const everyoneOnce = lawForAll(
  'each has one turn in every round',
  { ...sizes },
  (order: Order, { round, count }): boolean =>
    order(round, count)
      .toSorted((a, b) => a - b)
      .join() === [...Array(count).keys()].join(),
)
stateLaw(everyoneOnce, turnOrder)

/** Over twice as many rounds as there are turns, each has every place twice. */
const placesAreShared = lawForAll(
  'each has every position of a round equally often',
  { ...sizes },
  (order: Order, { round: from, count }): boolean => {
    const orders = Array.from({ length: 2 * count }, (_, round) => order(from + round, count))
    return orders[0].every((_, place) =>
      orders[0].every((who) => orders.filter((one) => one[place] === who).length === 2),
    )
  },
)
stateLaw(placesAreShared, turnOrder)

killsEach('an order that %s is found', placesAreShared, {
  'has the same one begin twice': (round, count) =>
    turnOrder(round, count).map((who) => (who + count - (round % 2)) % count),
  'never changes': (_, count) => [...Array(count).keys()],
  'only turns round': (round, count) => turnOrder(round % 2 === 0 ? 0 : 1, count),
})

test('an order that omits one is found', () =>
  kills(everyoneOnce, (round, count) => turnOrder(round, count).slice(1)))

test('medians are the middle values', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 2, 3])).toBe(2.5)
  expect(median([])).toBeNaN()
})

test('deviations are sample deviations', () => {
  expect(deviation([2, 4, 4, 4, 5, 5, 7, 9])).toBeCloseTo(Math.sqrt(32 / 7), 12)
  expect(deviation([1])).toBeNaN()
})

test('ratios are taken within rounds in which both ran', () => {
  expect(medianRatio([2, 8, 9], [1, 2])).toBe(3)
  expect(medianRatio([], [1])).toBeNaN()
})

type Ratio = typeof provenRatio

/** The share of many comparisons of six to thirty rounds that are told from 1. @param gain of the second over the first */
function shareTold(ratio: Ratio, gain: number): number {
  const random = new Random(7)
  const tries = 400
  let told = 0
  for (let i = 0; i < tries; i++) {
    const noise = (factor: number): number[] =>
      Array.from({ length: 6 + (i % 25) }, () => factor * (1 + random.uniform()))
    if (ratio(noise(gain), noise(1)) !== 1) told++
  }
  return told / tries
}

const equalsAreEqual = (ratio: Ratio): void => expect(shareTold(ratio, 1)).toBeLessThanOrEqual(0.05)
const doubleIsFound = (ratio: Ratio): void => expect(shareTold(ratio, 2)).toBeGreaterThan(0.9)

test('of equal computations at most one in twenty is said to differ, and twice the speed is found', () => {
  equalsAreEqual(provenRatio)
  doubleIsFound(provenRatio)
  expect(provenRatio([2, 2, 2, 4, 2, 2], [1, 1, 1, 1, 1, 1])).toBe(2)
  expect(provenRatio([2, 2, 2, 2, 2], [1, 1, 1, 1, 1])).toBe(1)
  expect(provenRatio([], [])).toBe(1)
})

test('a ratio that is always told, or never, is found', () => {
  expect(() => equalsAreEqual(medianRatio)).toThrow()
  expect(() => doubleIsFound(() => 1)).toThrow()
})

// ---- Speeds -----------------------------------------------------------------------------------------------

type IntervalOf = (samples: readonly number[], base: readonly number[]) => RatioInterval | null

/** In each of 12 rounds the first or the second is the slower one, by a factor: all 4,096 outcomes. */
const outcomes = (factors: readonly number[]): number[][] =>
  Array.from({ length: 2 ** 12 }, (_, outcome) =>
    Array.from({ length: 12 }, (_, round) => {
      const factor = factors[round % factors.length]
      return (outcome >> round) & 1 ? factor : 1 / factor
    }),
  )

const equalIsAlike = lawForAll(
  'of all outcomes of equal computations, however their times are distributed, at most 1 in 100 is judged faster or slower',
  { factors: fc.array(fc.double({ min: 1, max: 20, noNaN: true }), { minLength: 1, maxLength: 12 }) },
  (intervalOf: IntervalOf, { factors }): boolean => {
    const ones = Array.from({ length: 12 }, () => 1)
    const judged = outcomes(factors).filter((ratios) => {
      const interval = intervalOf(ratios, ones)
      return interval === null || judgeRatio(interval) !== 'alike'
    })
    return judged.length <= 2 ** 12 / 100
  },
)
stateLaw(equalIsAlike, ratioInterval)

killsEach('an interval that %s is found', equalIsAlike, {
  'is the median alone': (samples, base) => {
    const ratio = medianRatio(samples, base)
    return { median: ratio, low: ratio, high: ratio }
  },
  'leaves out a quarter of the rounds at each end': (samples, base) => {
    const ratios = samples.map((sample, i) => sample / base[i]).toSorted((a, b) => a - b)
    return { median: median(ratios), low: ratios[3], high: ratios[8] }
  },
})

const exchanged = lawForAll(
  'a difference is judged in the same way from both sides, and one that all rounds show is found',
  {
    rounds: fc.array(fc.double({ min: 0.5, max: 2, noNaN: true }), { minLength: 8, maxLength: 40 }),
    factor: fc.double({ min: 2.2, max: 9, noNaN: true }),
  },
  (intervalOf: IntervalOf, { rounds, factor }): void => {
    const slow = rounds.map((time, i) => time * factor * (1 + (i % 3) / 10))
    const [there, back] = [intervalOf(slow, rounds), intervalOf(rounds, slow)]
    if (there === null || back === null) throw new Error('expected intervals')
    expect([judgeRatio(there), judgeRatio(back)]).toEqual(['faster', 'slower'])
    expect(there.low * back.high).toBeCloseTo(1, 12)
  },
)
stateLaw(exchanged, ratioInterval)
test('an interval whose ends are exchanged is found', () =>
  kills(exchanged, (samples, base) => {
    const found = ratioInterval(samples, base)
    return found && { ...found, low: found.high, high: found.low / 9 }
  }))

test('a range is the interval, and of rounds too few for one the least and the most', () => {
  const rounds = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)
  const ones = rounds(12).map(() => 1)
  expect(ratioRange(rounds(12), ones, 0.01)).toEqual(ratioInterval(rounds(12), ones))
  expect(ratioRange([3, 1, 4, 2], ones, 0.01)).toEqual({ median: 2.5, low: 1, high: 4 })
  expect([ratioRange([3], ones, 0.01), ratioRange([], ones, 0.01)]).toEqual([null, null])
})

test('fewer than 8 rounds exclude nothing; 8 do by their least and most, 12 without the outermost two', () => {
  const rounds = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)
  const ones = rounds(12).map(() => 1)
  expect(ratioInterval(rounds(7), ones)).toBeNull()
  expect(ratioInterval([], [])).toBeNull()
  expect(ratioInterval(rounds(8), ones)).toEqual({ median: 4.5, low: 1, high: 8 })
  expect(ratioInterval(rounds(12), ones)).toEqual({ median: 6.5, low: 2, high: 11 })
})
