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
  [[[3, 0]], [3]],
  [[[3, 8]], [8]],
  [[[3, 1000]], [positions]],
  // After that twice as much, or what is needed, if that is more.
  [
    [
      [3, 0],
      [4, 50],
    ],
    [3, 6],
  ],
  [
    [
      [3, 0],
      [9, 0],
    ],
    [3, 9],
  ],
  [
    [
      [60, 0],
      [61, 0],
    ],
    [60, positions],
  ],
  // What there is room for changes nothing.
  [
    [
      [8, 0],
      [5, 90],
      [8, 0],
    ],
    [8, 8, 8],
  ],
])('asked for %j (positions needed, hint) a cache has room for %j', (asked, expected) => {
  const cache = makeCache()
  cache.reserve(...([asked[0][0], 0, asked[0][1]] as const))
  cache.layer(0, backend, 2)
  const found = [cache.capacity]
  for (const [needed, hint] of asked.slice(1)) {
    cache.reserve(needed, 1, hint)
    found.push(cache.capacity)
  }
  cache.dispose()
  expect(found).toEqual(expected)
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
