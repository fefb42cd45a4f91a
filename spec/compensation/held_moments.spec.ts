/**
 * Texts are mixed by how well they explain the prompt; and moments in memory are those of their bytes.
 */
import fc from 'fast-check'
import { expect } from 'vitest'
import { HeldMoments, mixMoments } from '../../src/compensation/held_moments.ts'
import { encodeHeld, parseHeld } from '../../src/compensation/moments_file.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { near, sameBits } from '../../src/verify/compare.ts'
import { anyData, killsByLaw, lawForAll, stateLaw } from '../harness/seed.ts'
import { randomMoments } from './random_moments.ts'

const config = makeConfig({ layers: 2, width: 4, heads: 2, neurons: 7, vocabulary: 5, positions: 8 })
const shape = { layers: 2, heads: 2, neurons: 7 }
const textsOf = (seed: number, M: number): HeldMoments =>
  mixMoments(Array.from({ length: M }, (_, m) => randomMoments({ config, shape }, 10 * seed + m)))

/** What is judged: the weights of texts, and the way through bytes. */
interface Subject {
  readonly weights: (moments: HeldMoments, squares: Float64Array | null) => Float64Array
  readonly copy: (moments: HeldMoments) => Promise<HeldMoments>
}

const right: Subject = {
  weights: (moments, squares) => moments.weights('neurons', 1, squares),
  copy: (moments) => parseHeld(encodeHeld(moments), { config, shape }),
}

const squaresOf = (moments: HeldMoments, w: readonly number[]): Float64Array =>
  moments.mixed('neurons', 1, 'squares', Float64Array.from(w))

const laws = {
  recovers: lawForAll(
    'a prompt whose mean squares are a mixture of those of the texts gets their weights',
    { seed: fc.nat({ max: 99 }), parts: fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 3 }) },
    ({ weights }: Subject, { seed, parts }) => {
      const sum = parts.reduce((a, b) => a + b, 0)
      if (sum === 0) return
      const moments = textsOf(seed, parts.length)
      const mixed = parts.map((part) => part / sum)
      near('weights', weights(moments, squaresOf(moments, mixed)), mixed, 1e-3)
    },
  ),
  best: lawForAll(
    'weights are from 0 and add up to 1, and no weight moved from one text to another explains the prompt better',
    { seed: fc.nat({ max: 99 }), M: fc.integer({ min: 2, max: 4 }), data: anyData },
    ({ weights }: Subject, { seed, M, data }) => {
      const moments = textsOf(seed, M)
      const squares = Float64Array.from(data.floats('squares', shape.neurons, 'smooth'), Math.abs)
      const w = weights(moments, squares)
      near('sum', [w.reduce((a, b) => a + b, 0)], [1], 1e-9)
      expect(w.every((one) => one >= 0)).toBe(true)
      const scale = squaresOf(moments, new Array<number>(M).fill(1 / M))
      const loss = (own: readonly number[]): number =>
        squaresOf(moments, own).reduce((sum, value, n) => sum + ((squares[n] - value) / scale[n]) ** 2, 0)
      const least = loss([...w])
      for (let from = 0; from < M; from++)
        for (let to = 0; to < M; to++) {
          const moved = [...w]
          const by = Math.min(0.01, w[from])
          moved[from] -= by
          moved[to] += by
          expect(loss(moved)).toBeGreaterThanOrEqual(least * (1 - 1e-6) - 1e-9)
        }
    },
  ),
  bytes: lawForAll(
    'moments that went through bytes have the same rows, weights and worths',
    { seed: fc.nat({ max: 99 }), M: fc.integer({ min: 1, max: 3 }) },
    async ({ copy }: Subject, { seed, M }) => {
      const moments = textsOf(seed, M)
      const copied = await copy(moments)
      const w = Float64Array.from({ length: M }, (_, m) => (m + 1) / M)
      const chosen = Int32Array.of(0, 3, 6)
      const rowsOf = (own: HeldMoments): Float32Array => own.rows('neurons', 1, chosen, w, 0.7)
      sameBits('rows', rowsOf(copied), rowsOf(moments))
      sameBits('means', copied.mixed('heads', 0, 'means', w), moments.mixed('heads', 0, 'means', w))
      for (const kind of ['heads', 'neurons'] as const)
        sameBits(kind, copied.worths[kind], moments.worths[kind])
    },
  ),
}
for (const law of Object.values(laws)) stateLaw(law, right)

killsByLaw(laws, {
  recovers: {
    'equal weights': { ...right, weights: (moments) => right.weights(moments, null) },
    'the text that is nearest': {
      ...right,
      weights: (moments, squares) => {
        const w = right.weights(moments, squares)
        return w.map((one) => Number(one === Math.max(...w)))
      },
    },
  },
  best: {
    'equal weights': { ...right, weights: (moments) => right.weights(moments, null) },
    'weights that are squared': {
      ...right,
      weights: (moments, squares) => right.weights(moments, squares).map((one) => one * one),
    },
  },
  bytes: {
    'the first text alone': {
      ...right,
      copy: ({ texts }) =>
        right.copy(new HeldMoments(shape, [texts[0], ...texts.slice(1).map(() => texts[0])])),
    },
  },
})
