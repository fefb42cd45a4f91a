/**
 * The room of a cache: enough for what is asked, no more than the model has positions, and made anew a few times only.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { KeyValueCache } from '../../src/engine/kv_cache.ts'
import { law } from '../harness/seed.ts'

const backend = await createBackend('reference')
const positions = 100
const config = makeConfig({ layers: 2, width: 4, heads: 2, neurons: 4, vocabulary: 8, positions })
const makeCache = (): KeyValueCache => new KeyValueCache(config, 'f32')

test.each([
  // The first time as much as is needed or hinted at, and never more than there are positions.
  { needed: [3], hints: [0], rooms: [3] },
  { needed: [3], hints: [8], rooms: [8] },
  { needed: [3], hints: [1000], rooms: [positions] },
  // After that twice as much, or what is needed, if that is more.
  { needed: [3, 4], hints: [0, 50], rooms: [3, 6] },
  { needed: [3, 9], hints: [0, 0], rooms: [3, 9] },
  { needed: [60, 61], hints: [0, 0], rooms: [60, positions] },
  // What there is room for changes nothing.
  { needed: [8, 5, 8], hints: [0, 90, 0], rooms: [8, 8, 8] },
])('asked for $needed positions, with the hints $hints, a cache has room for $rooms', (given) => {
  const cache = makeCache()
  const found = given.needed.map((needed, i) => {
    cache.reserve(needed, i === 0 ? 0 : 1, given.hints[i])
    if (i === 0) cache.layer(0, backend, 2)
    return cache.capacity
  })
  cache.dispose()
  expect(found).toEqual(given.rooms)
  expect(backend.liveBuffers).toBe(0)
})

law(
  'fed token by token a cache is made anew at most log2 of the positions times, and once',
  { length: fc.integer({ min: 1, max: positions }) },
  ({ length }) => {
    const cache = makeCache()
    const rooms = new Set<number>()
    for (let needed = 1; needed <= length; needed++) {
      cache.reserve(needed, needed - 1, 0)
      cache.layer(0, backend, 2)
      rooms.add(cache.capacity)
      expect(cache.capacity).toBeGreaterThanOrEqual(needed)
      expect(cache.capacity).toBeLessThanOrEqual(positions)
    }
    cache.dispose()
    expect(rooms.size).toBeLessThanOrEqual(1 + Math.ceil(Math.log2(length)))
  },
)
