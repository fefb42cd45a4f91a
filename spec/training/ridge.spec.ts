/**
 * Laws of ridge regression in principal directions (src/training/ridge.ts).
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fitRidge, type LowRankMap } from '../../src/training/ridge.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

interface Cloud {
  readonly z: Float32Array[] // N of D
  readonly y: Float32Array[] // N of O
}

/** Features in so many directions, and targets that follow them but for some noise. */
function cloudOf(seed: number, N: number, D: number, directions: number): Cloud {
  const data = new Data(seed)
  const normals = (count: number): number[] => Array.from({ length: count }, () => data.normal())
  const basis = Array.from({ length: directions }, () => normals(D))
  const slopes = Array.from({ length: 3 }, () => normals(D))
  const z = Array.from({ length: N }, () => {
    const place = normals(directions)
    return Float32Array.from({ length: D }, (_, d) => place.reduce((sum, at, i) => sum + at * basis[i][d], 0))
  })
  const y = z.map((row) =>
    Float32Array.from(slopes, (slope) => slope.reduce((sum, by, d) => sum + by * row[d], 0) + data.normal()),
  )
  return { z, y }
}

function apply({ rank, inputs, outputs }: LowRankMap, x: Float32Array): number[] {
  const inner = Array.from({ length: rank }, (_, i) =>
    x.reduce((sum, value, d) => sum + value * inputs[i * x.length + d], 0),
  )
  return Array.from({ length: outputs.length / rank }, (_, o) =>
    inner.reduce((sum, value, i) => sum + value * outputs[o * rank + i], 0),
  )
}

/** (zᵀ z / D + λ I)⁻¹ zᵀ Y / D, as equations of D unknowns solved by elimination, applied to x. */
function solved({ z, y }: Cloud, penalty: number, x: Float32Array): number[] {
  const D = x.length
  return Array.from(y[0], (_, o) => {
    const rows = Array.from({ length: D }, (_, i) => [
      ...Array.from({ length: D }, (_, j) => {
        const inner = z.reduce((sum, row) => sum + row[i] * row[j], 0) / D
        return inner + (i === j ? penalty : 0)
      }),
      z.reduce((sum, row, n) => sum + row[i] * y[n][o], 0) / D,
    ])
    for (let i = 0; i < D; i++)
      for (let k = 0; k < D; k++) {
        if (k === i) continue
        const factor = rows[k][i] / rows[i][i]
        rows[k] = rows[k].map((value, j) => value - factor * rows[i][j])
      }
    return rows.reduce((sum, row, i) => sum + (row[D] / row[i]) * x[i], 0)
  })
}

type Fit = typeof fitRidge

const equal = lawForAll(
  'a fit in as many directions as the features have is that of the equations of all features',
  {
    seed: fc.integer(),
    N: fc.integer({ min: 1, max: 12 }),
    D: fc.integer({ min: 1, max: 6 }),
    penalty: fc.double({ min: 0.1, max: 20, noNaN: true }),
  },
  (fit: Fit, { seed, N, D, penalty }) => {
    const directions = Math.min(D, 3)
    const cloud = cloudOf(seed, N, D, directions)
    const x = cloudOf(seed + 1, 1, D, D).z[0]
    const map = fit(cloud.z, cloud.y, { penalty, rank: directions })
    const expected = solved(cloud, penalty, x)
    apply(map, x).forEach((value, o) => {
      expect(Math.abs(value - expected[o])).toBeLessThan(1e-4 * (1 + Math.abs(expected[o])))
    })
  },
)
stateLaw(equal, fitRidge)

test('no penalty, a doubled one, one direction for several and a forgotten width are found', async () => {
  await kills(equal, (z, y, { rank }) => fitRidge(z, y, { rank, penalty: 1e-6 }))
  await kills(equal, (z, y, { rank, penalty }) => fitRidge(z, y, { rank, penalty: 2 * penalty }))
  await kills(equal, (z, y, options) => fitRidge(z, y, { ...options, rank: 1 }))
  await kills(equal, (z, y, options) => {
    const map = fitRidge(z, y, options)
    return { ...map, inputs: map.inputs.map((value) => value * z[0].length) }
  })
})

test('fewer directions keep those in which the features vary most', () => {
  const { z } = cloudOf(3, 40, 6, 6)
  // The first feature varies a hundred times as much as the others, and is what the target follows.
  for (const row of z) row[0] *= 100
  const y = z.map((row) => Float32Array.of(row[0]))
  const map = fitRidge(z, y, { penalty: 1e-3, rank: 1 })
  for (const row of z) expect(Math.abs(apply(map, row)[0] - row[0])).toBeLessThan(0.05 * Math.abs(row[0]) + 5)
})

test('features that are all the same predict nothing', () => {
  const z = Array.from({ length: 5 }, () => new Float32Array(4))
  const y = z.map((_, n) => Float32Array.of(n))
  expect(apply(fitRidge(z, y, { penalty: 1, rank: 3 }), new Float32Array(4).fill(1))).toEqual([0])
})

test('tables that do not fit and a penalty of zero are refused', () => {
  const row = new Float32Array(2)
  const options = { penalty: 1, rank: 1 }
  const code = (run: () => unknown): unknown => {
    try {
      return run()
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  expect(code(() => fitRidge([], [], options))).toBe('EXAMPLES')
  expect(code(() => fitRidge([row], [row, row], options))).toBe('EXAMPLES')
  expect(code(() => fitRidge([row, new Float32Array(3)], [row, row], options))).toBe('EXAMPLES')
  expect(code(() => fitRidge([row], [row], { penalty: 0, rank: 1 }))).toBe('PENALTY')
})
