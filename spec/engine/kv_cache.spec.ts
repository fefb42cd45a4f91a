/**
 * The room of a cache: enough for what is asked, no more than the model has positions, and made anew a few times only.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Backend, Buffer } from '../../src/backends/backend.ts'
import { valuesOf } from '../../src/backends/calls.ts'
import { createBackend } from '../../src/backends/select.ts'
import { makeConfig, type ModelConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { KeyValueCache, MOST_BACK, windowRows } from '../../src/engine/kv_cache.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { cacheStorages, type LayerCache, type Room } from '../../src/engine/layer_cache.ts'
import type { Sequence } from '../../src/engine/sequence.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { plainModel } from '../../src/verify/model/plain_model.ts'
import { kills, law, lawForAll, stateLaw } from '../harness/seed.ts'

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

describe('where a window slides', () => {
  const window = 70
  const model = { layers: 2, width: 8, heads: 2, neurons: 4, vocabulary: 8, family: 'llama' } as const
  const withWindows = (positions: number, windows: readonly (number | null)[]): ModelConfig =>
    makeConfig({ ...model, positions, layerWindow: windows })

  /** Numbers that are held for keys and values after a text of so many tokens. */
  const numbersHeld = (windows: readonly (number | null)[], length: number): number => {
    const cache = new KeyValueCache(withWindows(2 ** 15, windows), 'f32')
    cache.reserve(length, 0, 0)
    let held = 0
    windows.forEach((one, layer) => {
      const part = cache.layer(layer, backend, 2, one)
      part.room(length - 1, 1)
      for (const rows of [part.key, part.value]) held += valuesOf(rows).length
    })
    cache.dispose()
    return held
  }

  test('a layer holds its window, however long the text, and one without a window holds all', () => {
    const [short, long] = [4096, 32_768].map((length) => numbersHeld([512, 512], length))
    expect(long).toBe(short)
    // Two layers, keys and values, two heads of four numbers.
    expect(long).toBe(4 * windowRows(512) * 8)
    expect(windowRows(512)).toBe(512 + 2 * 64 + 512)
    expect(windowRows(4096)).toBe(4096 + 2 * 64 + 512)
    expect(numbersHeld([null, 512], 32_768) - numbersHeld([null, 512], 4096)).toBe(2 * (32_768 - 4096) * 8)
  })

  for (const cache of cacheStorages)
    test(`a text of several windows has the bits of the specification, fed in any parts: ${cache}`, async () => {
      const config = withWindows(400, [window, null])
      const tensors = initialWeights(config, { seed: 3, deviation: 0.4 })
      const tokens = new Data(5).ids('tokens', 400, config.vocabulary)
      const expected = plainModel(config, tensors, 'f32', cache).forward(tokens, null).logits.data
      const loaded = await LanguageModel.load(config, memorySource(tensors), backend)
      try {
        for (const parts of [[400], [1, 2, 397], [150, 63, 64, 65, 58], Array<number>(400).fill(1)]) {
          const sequence = loaded.begin({ cache, capacity: 1 })
          const logits: number[] = []
          for (let at = 0, i = 0; at < 400; at += parts[i++])
            logits.push(...sequence.feed(tokens.slice(at, at + parts[i]), 'all'))
          sameBits('logits', Float32Array.from(logits), expected)
          sequence.dispose()
        }
      } finally {
        loaded.dispose()
      }
    })

  test('a sequence goes back a little, and to any token if it began so; else it refuses', async () => {
    const config = withWindows(1000, [window, null])
    const tensors = initialWeights(config, { seed: 4, deviation: 0.4 })
    const tokens = new Data(6).ids('tokens', 1000, config.vocabulary)
    const loaded = await LanguageModel.load(config, memorySource(tensors), backend)
    const fed = (length: number, rewinds = false): Sequence => {
      const sequence = loaded.begin({ rewinds })
      sequence.feed(tokens.slice(0, 10))
      for (let at = 10; at < length; at += 30) sequence.feed(tokens.slice(at, Math.min(length, at + 30)))
      return sequence
    }
    try {
      for (let length = 100; length < 1000; length += 149) {
        const sequence = fed(length)
        expect(sequence.canRewind(length - MOST_BACK)).toBe(true)
        sequence.rewind(length - MOST_BACK)
        const again = sequence.feed(tokens.slice(length - MOST_BACK, length))
        const other = fed(length + 1)
        other.rewind(length)
        sameBits(
          'logits',
          other.feed(tokens.slice(length, length + 1)),
          sequence.feed(tokens.slice(length, length + 1)),
        )
        expect(again.length).toBe(config.vocabulary)
        for (const one of [sequence, other]) one.dispose()
      }
      const [bounded, free] = [false, true].map((rewinds) => fed(900, rewinds))
      expect([bounded.canRewind(20), free.canRewind(20)]).toEqual([false, true])
      expect(() => bounded.rewind(20)).toThrow(
        'rewind: expected a length whose window is still held, got 20 of 900',
      )
      free.rewind(20)
      const short = fed(20)
      sameBits('logits', free.feed(tokens.slice(20, 21)), short.feed(tokens.slice(20, 21)))
      for (const one of [bounded, free, short]) one.dispose()
    } finally {
      loaded.dispose()
    }
  })

  describe('bugs are found:', () => {
    const seenStays = lawForAll(
      'what a token sees is where its cache says, and positions that it sees are never moved away',
      {
        window: fc.integer({ min: 1, max: 200 }),
        parts: fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 12 }),
      },
      (Cache: typeof KeyValueCache, { window, parts }) => {
        const config = withWindows(2000, [window])
        const cache = new Cache(config, 'f32')
        let fed = 0
        for (const part of parts) {
          cache.reserve(fed + part, fed, 0)
          for (let done = 0; done < part;) {
            const held = cache.layer(0, backend, 1, window)
            const { row, count } = held.room(fed, part - done)
            expect(count).toBeGreaterThan(0)
            const key = held.key as Buffer
            // Each position is written as its own number.
            const K = config.headSize
            backend.write(
              key,
              Float32Array.from({ length: count * K }, (_, i) => fed + Math.floor(i / K)),
              row * K,
            )
            const rows = backend.readF32(key)
            for (let s = Math.max(0, fed - window + 1); s < fed + count; s++)
              expect(rows[(row + s - fed) * K]).toBe(s)
            fed += count
            done += count
          }
        }
        cache.dispose()
      },
    )
    stateLaw(seenStays, KeyValueCache)
    test('a window that is shorter by more than what stays besides', () =>
      kills(
        seenStays,
        class extends KeyValueCache {
          override layer(layer: number, backend: Backend, keyHeads: number, window: number): LayerCache {
            return super.layer(layer, backend, keyHeads, Math.max(1, window - 2 * MOST_BACK))
          }
        },
      ))
    test('rows that stay where they are when positions move', () =>
      kills(
        seenStays,
        class extends KeyValueCache {
          override layer(layer: number, backend: Backend, keyHeads: number, window: number): LayerCache {
            const held = super.layer(layer, backend, keyHeads, window)
            const room = (position: number, T: number): Room => {
              const before = [held.key, held.value].map((rows) => backend.readF32(valuesOf(rows)))
              const found = held.room(position, T)
              before.forEach((rows, i) => backend.write(valuesOf([held.key, held.value][i]), rows))
              return found
            }
            return { ...held, key: held.key, value: held.value, room }
          }
        },
      ))
  })
})
