/**
 * The buttons of a phone lead to the next figure, and to the one before; its bar says where the reader is.
 */
import fc from 'fast-check'
import { test } from 'vitest'
import { nextStop, placeAt } from '../../../src/web/spec_page/stops.ts'
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

const reading = lawForAll(
  'the place of a reader is the last that begins above the middle of the screen, wherever the page is scrolled to',
  {
    heights: fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 30 }),
    y: fc.integer({ min: 0, max: 90_000 }),
    screen: fc.integer({ min: 100, max: 1000 }),
  },
  (at: typeof placeAt, { heights, y, screen }) => {
    let top = -y
    const tops = heights.map((height) => (top += height))
    const found = at(tops, screen)
    return tops.every((one, i) => one < screen / 2 === i <= found)
  },
)
stateLaw(reading, placeAt)

test('the first place below the middle instead of the last above it, killed', () =>
  kills(reading, (tops, height) => tops.findIndex((top) => top >= height / 2)))
