/**
 * Turns are fair, and what is made of their samples is what it is called.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { deviation, median, medianRatio, turnOrder } from '../../src/results/interleaved_rounds.ts'
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
