/**
 * Folding skipped units into kept ones is least squares: by its formula, by the properties that only the solution has, and at its ends.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { foldSkipped } from '../../src/compensation/fold.ts'
import type { Data } from '../../src/testing/seeded_data.ts'
import { near, sameBits } from '../../src/verify/compare.ts'
import { anyData, killsByLaw, lawForAll, stateLaw } from '../harness/seed.ts'
import { saidOfSkipped } from './least_squares.ts'

type Fold = typeof foldSkipped

const sizes = {
  N: fc.integer({ min: 1, max: 9 }),
  D: fc.integer({ min: 1, max: 4 }),
  T: fc.integer({ min: 1, max: 20 }),
  ridge: fc.constantFrom(0.01, 0.1, 1),
  data: anyData,
}

/** C of activations [T, N]; the sum over tokens. */
function momentsOf(a: Float32Array, T: number, N: number): Float64Array {
  const moments = new Float64Array(N * N)
  for (let t = 0; t < T; t++)
    for (let i = 0; i < N; i++) for (let j = 0; j < N; j++) moments[i * N + j] += a[t * N + i] * a[t * N + j]
  return moments
}

/** Activations in which some units are never active. */
function activations(data: Data, T: number, N: number): Float32Array {
  const isAlive = data.mask('alive', N, (stream) => stream.chance(0.8))
  return data.floats('a', [T, N]).map((value, i) => value * isAlive[i % N])
}

const meanOfDiagonal = (moments: Float64Array, N: number): number =>
  Array.from({ length: N }, (_, n) => moments[n * N + n] / N).reduce((a, b) => a + b, 0)

const keptOf = (mask: Float32Array): number[] => [...mask.keys()].filter((n) => mask[n] === 1)
const someMask = (data: Data, N: number, name = 'mask'): number[] =>
  keptOf(data.mask(name, N, (stream) => stream.chance(0.6)))

/** What was added to each kept column: [D, K]. */
const addedTo = (
  weight: Float32Array,
  folded: Float32Array,
  kept: readonly number[],
  N: number,
): number[][] =>
  Array.from({ length: weight.length / N }, (_, d) => kept.map((k) => folded[d * N + k] - weight[d * N + k]))

/** How far float32 may move a number of a column and back. */
const moved = (a: number, b: number): number => 2 ** -23 * (Math.abs(a) + Math.abs(b))

const laws = {
  formula: lawForAll(
    'kept columns become W_K + W_S B, and the others stay as they are',
    sizes,
    (fold: Fold, { N, D, T, ridge, data }) => {
      const moments = momentsOf(activations(data, T, N), T, N)
      const weight = data.floats('weight', [D, N])
      const kept = someMask(data, N)
      const folded = fold(weight, moments, Int32Array.from(kept), ridge)
      const { skipped, B } = saidOfSkipped(moments, N, kept, ridge)
      const expected = Float64Array.from(weight)
      for (let d = 0; d < D; d++)
        for (const [k, at] of kept.entries())
          for (const [s, from] of skipped.entries()) expected[d * N + at] += weight[d * N + from] * B[s][k]
      // B is within 1/λ of 1 in size; float64 leaves nothing beside the rounding to float32.
      near('folded', folded, expected, 2e-6 / ridge)
      for (const from of skipped)
        for (let d = 0; d < D; d++) sameBits('skipped', [folded[d * N + from]], [weight[d * N + from]])
    },
  ),
  orthogonal: lawForAll(
    'what is left of the output is orthogonal to the kept units, but for λ times what was added',
    sizes,
    (fold: Fold, { N, D, T, ridge, data }) => {
      const a = activations(data, T, N)
      const moments = momentsOf(a, T, N)
      const weight = data.floats('weight', [D, N])
      const kept = someMask(data, N)
      const folded = fold(weight, moments, Int32Array.from(kept), ridge)
      const penalty = ridge * meanOfDiagonal(moments, N)
      const added = addedTo(weight, folded, kept, N)
      for (let d = 0; d < D; d++)
        for (const [k, j] of kept.entries()) {
          let inner = 0
          for (let t = 0; t < T; t++) {
            let rest = 0
            for (let n = 0; n < N; n++) if (!kept.includes(n)) rest += weight[d * N + n] * a[t * N + n]
            for (const [m, n] of kept.entries()) rest -= added[d][m] * a[t * N + n]
            inner += rest * a[t * N + j]
          }
          // Each number that was added is known as the difference of two float32 numbers.
          let bound = penalty * moved(weight[d * N + j], folded[d * N + j])
          for (const n of kept)
            bound += Math.abs(moments[n * N + j]) * moved(weight[d * N + n], folded[d * N + n])
          near('inner product', [inner], [penalty * added[d][k]], bound + 1e-12 * (1 + moments[j * N + j]))
        }
    },
  ),
  monotonic: lawForAll(
    'one more kept unit never raises the loss of the calibration, but for λ',
    sizes,
    (fold: Fold, { N, D, T, ridge, data }) => {
      const a = activations(data, T, N)
      const moments = momentsOf(a, T, N)
      const weight = data.floats('weight', [D, N])
      const kept = someMask(data, N)
      const more = data.whole('more', 0, N - 1)
      if (kept.includes(more)) return
      const penalty = ridge * meanOfDiagonal(moments, N)
      /** The squares of what is left, and of what was added, times λ. */
      const lossOf = (own: readonly number[]): { loss: number; penalty: number } => {
        const folded = fold(weight, moments, Int32Array.from(own), ridge)
        let loss = 0
        for (let t = 0; t < T; t++)
          for (let d = 0; d < D; d++) {
            let rest = 0
            for (let n = 0; n < N; n++)
              rest += (weight[d * N + n] - (own.includes(n) ? folded[d * N + n] : 0)) * a[t * N + n]
            loss += rest ** 2
          }
        const squares = addedTo(weight, folded, own, N).flat()
        return { loss, penalty: penalty * squares.reduce((sum, value) => sum + value ** 2, 0) }
      }
      const [before, after] = [lossOf(kept), lossOf([...kept, more].toSorted((x, y) => x - y))]
      // The solution for fewer units, with the new one taken back, is one of those that the new solution is the best of.
      let taken = 0
      for (let d = 0; d < D; d++) taken += penalty * weight[d * N + more] ** 2
      const most = before.loss + before.penalty + taken
      expect(after.loss + after.penalty).toBeLessThanOrEqual(most * (1 + 1e-4) + 1e-9)
    },
  ),
  ends: lawForAll(
    'without skipped units, kept ones, correlations or weights of the kept, every bit stays',
    sizes,
    (fold: Fold, { N, D, T, ridge, data }) => {
      const moments = momentsOf(activations(data, T, N), T, N)
      const weight = data.floats('weight', [D, N], 'ties')
      const kept = Int32Array.from(someMask(data, N))
      const apart = moments.map((value, i) => (i % (N + 1) === 0 ? value : 0))
      const all = Int32Array.from({ length: N }, (_, n) => n)
      sameBits('all kept', fold(weight, moments, all, ridge), weight)
      sameBits('none kept', fold(weight, moments, new Int32Array(), ridge), weight)
      sameBits('apart', fold(weight, apart, kept, ridge), weight)
      sameBits('never active', fold(weight, new Float64Array(N * N), kept, ridge), weight)
      // B goes to zero as λ grows.
      const held = weight.map((value) => (value === 0 ? 1 : value))
      sameBits('λ of 1e30', fold(held, moments, kept, 1e30), held)
    },
  ),
  dead: lawForAll(
    'units that were never active change nothing: kept ones keep their bits, and the scale of C none',
    sizes,
    (fold: Fold, { N, D, T, ridge, data }) => {
      const a = activations(data, T, N)
      const dead = data.whole('dead', 0, N - 1)
      const moments = momentsOf(
        a.map((value, i) => (i % N === dead ? 0 : value)),
        T,
        N,
      )
      const weight = data.floats('weight', [D, N])
      const kept = someMask(data, N)
      const own = (without: readonly number[]): Float32Array =>
        fold(weight, moments, Int32Array.from(without), ridge)
      const [beside, besides] = [kept.filter((n) => n !== dead), [...kept, dead].toSorted((x, y) => x - y)]
      const [folded, more] = [own(beside), own([...new Set(besides)])]
      near('with a dead unit', more, folded, 1e-5 / ridge)
      for (let d = 0; d < D; d++) sameBits('dead', [more[d * N + dead]], [weight[d * N + dead]])
      const twice = fold(
        weight,
        moments.map((value) => 4 * value),
        Int32Array.from(kept),
        ridge,
      )
      sameBits('scaled', twice, own(kept))
    },
  ),
}
for (const law of Object.values(laws)) stateLaw(law, foldSkipped)

test('without λ, a kept unit that was never active leaves no inverse', () => {
  const moments = Float64Array.of(1, 0, 0.5, 0, 0, 0, 0.5, 0, 1)
  const fold = (): Float32Array => foldSkipped(Float32Array.of(1, 2, 3), moments, Int32Array.of(0, 1), 0)
  expect(fold).toThrow(expect.objectContaining({ code: 'MATRIX' }))
})

/** Another matrix in place of what is folded, from it and what is kept. */
const changing =
  (change: (folded: number, weight: number, isKept: boolean) => number): Fold =>
  (weight, moments, kept, ridge) => {
    const N = Math.sqrt(moments.length)
    return foldSkipped(weight, moments, kept, ridge).map((value, i) =>
      change(value, weight[i], kept.includes(i % N)),
    )
  }
const withRidge =
  (other: (ridge: number, moments: Float64Array) => number): Fold =>
  (weight, moments, kept, ridge) =>
    foldSkipped(weight, moments, kept, other(ridge, moments))

killsByLaw(laws, {
  formula: {
    'half of what is folded': changing((folded, weight) => (folded + weight) / 2),
    'skipped columns become zeros': changing((folded, _, isKept) => (isKept ? folded : 0)),
    'ridge beside no mean': withRidge((ridge, moments) => {
      const N = Math.sqrt(moments.length)
      return ridge / (meanOfDiagonal(moments, N) || 1)
    }),
    'a ridge of half the size': withRidge((ridge) => ridge / 2),
  },
  orthogonal: {
    'zeros in place of what is skipped': changing((_, weight) => weight),
    'nine tenths of what is folded': changing((folded, weight) => weight + 0.9 * (folded - weight)),
  },
  monotonic: {
    'twice what is folded': changing((folded, weight) => weight + 2 * (folded - weight)),
    'folded with the wrong sign': changing((folded, weight) => 2 * weight - folded),
  },
  ends: {
    'zeros of one sign': changing((folded) => folded + 0),
    'skipped columns become zeros': changing((folded, _, isKept) => (isKept ? folded : 0)),
    'a ridge that is bounded': withRidge((ridge) => Math.min(ridge, 1)),
  },
  dead: {
    'a ridge of its own size': withRidge((ridge, moments) => {
      const N = Math.sqrt(moments.length)
      return ridge / (meanOfDiagonal(moments, N) || 1)
    }),
    'kept columns move by a bit': changing((folded, _, isKept) => (isKept ? folded + 1e-4 : folded)),
  },
})
