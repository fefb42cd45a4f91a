/**
 * The buttons of a phone lead to the next figure or law, and to the one before.
 */
import fc from 'fast-check'
import { test } from 'vitest'
import { nextStop } from '../../../src/web/spec_page/stops.ts'
import { kills, lawForAll, stateLaw } from '../../harness/seed.ts'

const walks = lawForAll(
  'from any stop the next is one further, and back again is one less; beyond the first and the last there is none',
  { heights: fc.array(fc.integer({ min: 20, max: 3000 }), { minLength: 1, maxLength: 30 }) },
  (next: typeof nextStop, { heights }) => {
    let y = 0
    const places = heights.map((height) => (y += height))
    return places.every((at, i) => {
      const tops = places.map((place) => place - at)
      return next(tops, true) === (i + 1 < places.length ? i + 1 : -1) && next(tops, false) === i - 1
    })
  },
)
stateLaw(walks, nextStop)

test('a button that stays where it is, killed', () =>
  kills(walks, (tops, isForward) =>
    isForward ? tops.findIndex((top) => top >= 0) : tops.findLastIndex((top) => top <= 0),
  ))
