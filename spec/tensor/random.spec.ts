/**
 * Seeded random numbers: the published generator, the same on every engine, and fair.
 *
 * The expected numbers of the C reference are those of github.com/edorfaus/xoshiro-6502, test-rom/testdata.asm.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Random } from '../../src/tensor/random.ts'
import { law } from '../harness/seed.ts'

test('is xoshiro128**: what the C reference gives from this state', () => {
  const random = Random.fromState(0x964d4a0c, 0xd40ab895, 0xad7fdecb, 0x3006f0f0)
  expect(Array.from({ length: 4 }, () => random.uint32())).toEqual([
    0xf1391922, 0x6fe53806, 0xa5be2840, 0xf510ee70,
  ])
})

test('these seeds always give these numbers', () => {
  expect([0, 1, -1, 2 ** 31].map((seed) => new Random(seed).uint32())).toEqual([
    3809008728, 2442144158, 835879718, 3777240597,
  ])
})

law('the same seed gives the same stream, another seed another one', { seed: fc.integer() }, ({ seed }) => {
  const stream = (of: number): number[] => {
    const random = new Random(of)
    return Array.from({ length: 8 }, () => random.uint32())
  }
  expect(stream(seed)).toEqual(stream(seed))
  expect(stream(seed)).not.toEqual(stream(seed + 1))
})

describe('is uniform', () => {
  /** A stream that begins with this number: the generator's output function, inverted. */
  function beginningWith(first: number): Random {
    const product = Math.imul(first, 954_437_177) // 1 / 9, modulo 2^32
    const rotated = (product >>> 7) | (product << 25)
    return Random.fromState(1, Math.imul(rotated, 3_435_973_837), 2, 3) // 1 / 5, modulo 2^32
  }

  law(
    'a number past the last whole round of remainders is drawn again',
    { limit: fc.integer({ min: 3, max: 2 ** 31 }) },
    ({ limit }) => {
      const fair = 2 ** 32 - (2 ** 32 % limit)
      fc.pre(fair < 2 ** 32)
      expect(beginningWith(fair - 1).below(limit)).toBe(limit - 1)
      const rest = beginningWith(fair)
      expect(rest.uint32()).toBe(fair)
      expect(beginningWith(fair).below(limit)).toBe(rest.below(limit))
    },
  )

  const draws = 20_000

  test('uniform numbers fill [0, 1) evenly, in steps of 2^-24', () => {
    const random = new Random(3)
    const counts = new Array<number>(10).fill(0)
    for (let i = 0; i < draws; i++) {
      const x = random.uniform()
      expect(x >= 0 && x < 1 && Number.isInteger(x * 2 ** 24)).toBe(true)
      counts[Math.floor(x * 10)]++
    }
    // Five standard deviations of a binomial count.
    for (const count of counts) expect(Math.abs(count - draws / 10)).toBeLessThan(5 * Math.sqrt(draws * 0.09))
  })

  test('normal numbers have mean 0, deviation 1 and the share of the middle', () => {
    const random = new Random(4)
    const drawn = Array.from({ length: draws }, () => random.normal())
    const mean = drawn.reduce((sum, x) => sum + x, 0) / draws
    const variance = drawn.reduce((sum, x) => sum + x * x, 0) / draws
    expect(Math.abs(mean)).toBeLessThan(5 / Math.sqrt(draws))
    expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / draws))
    expect(Math.abs(drawn.filter((x) => Math.abs(x) < 1).length / draws - 0.68)).toBeLessThan(0.02)
    expect(Math.max(...drawn.map(Math.abs))).toBeLessThanOrEqual(6)
  })

  law(
    'integers are below their limit and reach every value',
    { limit: fc.integer({ min: 1, max: 12 }), seed: fc.integer() },
    ({ limit, seed }) => {
      const random = new Random(seed)
      const seen = new Set(Array.from({ length: 400 }, () => random.below(limit)))
      expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: limit }, (_, i) => i))
    },
  )

  law(
    'a permutation has every number once',
    { length: fc.integer({ min: 0, max: 50 }), seed: fc.integer() },
    ({ length, seed }) => {
      const order = new Random(seed).permutation(length)
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length }, (_, i) => i))
    },
  )

  test('each permutation of three comes up equally often', () => {
    const random = new Random(5)
    const counts = new Map<string, number>()
    for (let i = 0; i < 6000; i++) {
      const order = random.permutation(3).join()
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    expect(counts.size).toBe(6)
    for (const count of counts.values())
      expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(6000 * (5 / 36)))
  })
})
