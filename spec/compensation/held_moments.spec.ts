/**
 * Texts are mixed by how well they explain the prompt; and moments in memory are those of their bytes.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HeldMoments, mixMoments, ONE, summarize } from '../../src/compensation/held_moments.ts'
import { encodeHeld, parseHeld } from '../../src/compensation/moments_file.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { near, sameBits } from '../../src/verify/compare.ts'
import { anyData, killsByLaw, lawForAll, stateLaw } from '../harness/seed.ts'
import { oneLayer, randomMoments } from './random_moments.ts'

const config = makeConfig({ layers: 2, width: 4, heads: 2, neurons: 7, vocabulary: 5, positions: 8 })
const shape = { layers: 2, heads: 2, neurons: 7 }
const textsOf = (seed: number, M: number): HeldMoments =>
  mixMoments(Array.from({ length: M }, (_, m) => randomMoments({ config, shape }, 10 * seed + m)))

/** What is judged: the weights of texts, and the way through bytes. */
interface Subject {
  readonly weights: (moments: HeldMoments, squares: Float64Array | null) => Float64Array
  readonly copy: (moments: HeldMoments) => Promise<HeldMoments>
  readonly triangle: (
    moments: HeldMoments,
    chosen: Int32Array,
    w: Float64Array,
    factor: number,
    added: number,
  ) => Float32Array
  readonly areApart: (moments: HeldMoments, kept: Int32Array, others: Int32Array) => boolean
}

const right: Subject = {
  weights: (moments, squares) => moments.weights('neurons', 1, squares),
  copy: (moments) => parseHeld(encodeHeld(moments), { config, shape }),
  triangle: (moments, chosen, w, factor, added) => {
    const all = new Float32Array(chosen.length ** 2).fill(NaN)
    moments.triangle('neurons', 0, chosen, w, factor, added, (rows, start) => all.set(rows, start))
    return all
  },
  areApart: (moments, kept, others) => moments.areApart('neurons', 0, kept, others),
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
  triangle: lawForAll(
    'the triangle of some numbers is what their rows have on the diagonal and above it, by equal bits, and 0 below',
    {
      seed: fc.nat({ max: 99 }),
      N: fc.integer({ min: 1, max: 90 }),
      M: fc.integer({ min: 1, max: 3 }),
      data: anyData,
    },
    ({ triangle }: Subject, { seed, N, M, data }) => {
      const moments = mixMoments(
        Array.from({ length: M }, (_, m) => randomMoments(oneLayer(N), 10 * seed + m)),
      )
      const mask = data.mask('chosen', N, (stream) => stream.chance(0.8))
      const chosen = Int32Array.from({ length: N }, (_, n) => n).filter((n) => mask[n] === 1)
      const w = Float64Array.from({ length: M }, (_, m) => m / M)
      const rows = moments.rows('neurons', 0, chosen, w, 0.7)
      const K = chosen.length
      const expected = Float32Array.from({ length: K * K }, (_, at) => {
        const [i, j] = [Math.floor(at / K), at % K]
        return j < i ? 0 : rows[i * N + chosen[j]] + (i === j ? 0.5 : 0)
      })
      sameBits('triangle', triangle(moments, chosen, w, 0.7, 0.5), expected)
    },
  ),
  apart: lawForAll(
    'numbers are apart from others where no text has a correlation of one with the other',
    { seed: fc.nat({ max: 99 }), N: fc.integer({ min: 1, max: 8 }), data: anyData },
    ({ areApart }: Subject, { seed, N, data }) => {
      const mask = data.mask('kept', N, (stream) => stream.chance(0.5))
      const list = (kept: number): Int32Array =>
        Int32Array.from({ length: N }, (_, n) => n).filter((n) => mask[n] === kept)
      const [kept, others] = [list(1), list(0)]
      const link = data.whole('link', 0, kept.length * others.length)
      const texts = [0, 1].map((m) => {
        const {
          shape: own,
          texts: [text],
        } = randomMoments(oneLayer(N), 2 * seed + m)
        let pair = 0
        const correlations = text.neurons[0].correlations.slice()
        for (const i of kept)
          for (const j of others) {
            const [low, high] = [Math.min(i, j), Math.max(i, j)]
            correlations[(high * (high - 1)) / 2 + low] = m === 1 && ++pair === link ? -5 : 0
          }
        return new HeldMoments(own, [{ ...text, neurons: [{ ...text.neurons[0], correlations }] }])
      })
      expect(areApart(mixMoments(texts), kept, others)).toBe(link === 0)
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
  triangle: {
    'nothing on the diagonal': {
      ...right,
      triangle: (moments, chosen, w, factor) => right.triangle(moments, chosen, w, factor, 0),
    },
    'equal weights': {
      ...right,
      triangle: (moments, chosen, w, factor, added) =>
        right.triangle(moments, chosen, w.fill(1 / w.length), factor, added),
    },
  },
  apart: {
    'the first text alone': {
      ...right,
      areApart: ({ shape: own, texts }, kept, others) =>
        right.areApart(new HeldMoments(own, [texts[0]]), kept, others),
    },
    never: { ...right, areApart: () => false },
  },
  bytes: {
    'the first text alone': {
      ...right,
      copy: ({ texts }) =>
        right.copy(new HeldMoments(shape, [texts[0], ...texts.slice(1).map(() => texts[0])])),
    },
  },
})

test('a correlation is rounded to the nearest of its steps, either side of zero', () => {
  // Of two units of variance 1 each: half a step more and less than whole numbers of steps.
  const steps = [100.4, 100.6, -100.4, -100.6]
  const kept = steps.map((step) => {
    const second = Float32Array.of(1, step / ONE, step / ONE, 1)
    return summarize({ first: new Float32Array(2), second }, 1).correlations[0]
  })
  expect(kept).toEqual([100, 101, -100, -101])
})
