/**
 * Choosing a token: the order is total, k is exactly k, p is the shortest prefix, and a seed replays.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { argmax, makeSampler, type SamplerOptions } from '../../src/model/opt/sampling.ts'
import { scaledRuns, law } from '../harness/seed.ts'

/** Logits with many ties. */
const someLogits = fc
  .array(fc.oneof(fc.integer({ min: -2, max: 2 }), fc.float({ min: -20, max: 20, noNaN: true })), {
    minLength: 1,
    maxLength: 40,
  })
  .map((values) => Float32Array.from(values))

/** The ids best first, by the definition: one comparison at a time. */
function ranking(logits: Float32Array): number[] {
  return [...logits.keys()].sort((a, b) => (logits[a] === logits[b] ? a - b : logits[a] < logits[b] ? 1 : -1))
}

/** Every id that occurs in many draws. */
function drawn(logits: Float32Array, options: SamplerOptions, draws = 300): Set<number> {
  const sampler = makeSampler({ temperature: 1, ...options })
  return new Set(Array.from({ length: draws }, () => sampler(logits)))
}

/** The probabilities of a softmax, in float64. */
function probabilities(logits: Float32Array, temperature: number): number[] {
  const most = Math.max(...logits)
  const weights = [...logits].map((logit) => Math.exp((logit - most) / temperature))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / total)
}

describe('greedy', () => {
  law('is the first of the highest', [someLogits], (logits) => {
    expect(argmax(logits)).toBe(ranking(logits)[0])
    expect(makeSampler()(logits)).toBe(argmax(logits))
  })

  law('is what top-k 1, and any top-p that the best token reaches alone, come to', [someLogits], (logits) => {
    expect([...drawn(logits, { topK: 1 }, 5)]).toEqual([argmax(logits)])
    expect([...drawn(logits, { topP: 1e-9 }, 5)]).toEqual([argmax(logits)])
  })

  test('NaN never wins; where nothing is a number the first id does', () => {
    expect(argmax(Float32Array.of(NaN, -Infinity, -5, NaN))).toBe(2)
    expect(argmax(Float32Array.of(NaN, NaN))).toBe(0)
    expect(makeSampler({ temperature: 1 })(Float32Array.of(1, Infinity, NaN))).toBe(1)
    expect([...drawn(Float32Array.of(NaN, 1, -Infinity, 1), {})].sort()).toEqual([1, 3])
  })
})

describe('drawing', () => {
  law(
    'stays within the k best, ties to the lower id, and the shortest prefix of them that holds p',
    [
      someLogits,
      fc.integer({ min: 1, max: 45 }),
      fc.double({ min: 0.05, max: 1, noNaN: true }),
      fc.integer(),
    ],
    (logits, topK, topP, seed) => {
      const best = ranking(logits).slice(0, topK)
      const all = probabilities(logits, 0.7)
      const total = best.reduce((sum, id) => sum + all[id], 0)
      let reached = 0
      // A probability at the edge may round to either side: allow the token there.
      const allowed = best.filter((id) => {
        const isIn = reached < topP * total + 1e-6
        reached += all[id]
        return isIn
      })
      for (const id of drawn(logits, { topK, topP, seed, temperature: 0.7 }, 40))
        expect(allowed).toContain(id)
    },
  )

  test('follows the distribution, at any temperature', () => {
    const logits = Float32Array.of(0, 1, 2, -1, 0.5)
    const draws = 20_000
    for (const temperature of [0.5, 1, 2]) {
      const sampler = makeSampler({ temperature, seed: 11 })
      const counts = new Array<number>(logits.length).fill(0)
      for (let i = 0; i < draws; i++) counts[sampler(logits)]++
      probabilities(logits, temperature).forEach((p, id) => {
        // Five standard deviations of a binomial count.
        expect(Math.abs(counts[id] / draws - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / draws))
      })
    }
  })

  law('is replayed by its seed and changed by another', [fc.integer({ min: 0, max: 2 ** 31 })], (seed) => {
    const logits = new Float32Array(64)
    const text = (of: number): string => {
      const sampler = makeSampler({ temperature: 1, seed: of })
      return Array.from({ length: 16 }, () => sampler(logits)).join()
    }
    expect(text(seed)).toBe(text(seed))
    expect(text(seed)).not.toBe(text(seed + 1))
  })

  test('never draws a token of probability 0', () => {
    const logits = Float32Array.of(0, -1000, 0, -1000)
    expect(
      [...drawn(logits, { topP: 1, topK: 4 }, scaledRuns(500))].every((id) => id === 0 || id === 2),
    ).toBe(true)
  })
})

test.each([
  [{ temperature: -1 }, 'TEMPERATURE'],
  [{ temperature: NaN }, 'TEMPERATURE'],
  [{ topK: 0 }, 'TOP_K'],
  [{ topK: 1.5 }, 'TOP_K'],
  [{ topP: 0 }, 'TOP_P'],
  [{ topP: 1.1 }, 'TOP_P'],
])('%j is refused', (options, code) => {
  expect(() => makeSampler(options)).toThrow(expect.objectContaining({ code, exitCode: 2 }))
})
