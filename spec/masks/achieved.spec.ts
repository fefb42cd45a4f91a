/**
 * Achieved sparsity is counted from the mask: it agrees with the budget where the budget is exact, and with a count of
 * unread weights, unit by unit.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { achievedSparsity } from '../../src/masks/achieved.ts'
import { denseMask, makeMask, type UnitMask } from '../../src/masks/mask.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

const someMask: fc.Arbitrary<UnitMask> = fc
  .record({
    layers: fc.integer({ min: 1, max: 4 }),
    heads: fc.integer({ min: 1, max: 6 }),
    neurons: fc.integer({ min: 1, max: 20 }),
  })
  .chain((shape) => {
    const table = (length: number): fc.Arbitrary<Float32Array> =>
      fc
        .array(fc.constantFrom(0, 1), { minLength: length, maxLength: length })
        .map((values) => Float32Array.from(values))
    return fc
      .tuple(table(shape.layers * shape.heads), table(shape.layers * shape.neurons))
      .map(([heads, neurons]) => makeMask(shape, heads, neurons))
  })

/** Share of block weights no token reads, counted one unit at a time. */
function unreadWeights(mask: UnitMask, headSize: number): number {
  const { heads, neurons, layers } = mask.shape
  const width = heads * headSize
  let unread = 0
  for (const value of mask.heads) if (value === 0) unread += 4 * headSize * width
  for (const value of mask.neurons) if (value === 0) unread += 2 * width
  return unread / (layers * (4 * width * width + 2 * neurons * width))
}

const headSizes = fc.integer({ min: 1, max: 8 })

const agrees = lawForAll(
  'of weights is the share of layer weights that are not read',
  [someMask, headSizes],
  (measure: typeof achievedSparsity, mask, headSize) => {
    const achieved = measure(mask, mask.shape.heads * headSize)
    expect(achieved.weights).toBeCloseTo(unreadWeights(mask, headSize), 12)
    const mean = achieved.layers.reduce((total, layer) => total + layer.weights, 0) / achieved.layers.length
    expect(mean).toBeCloseTo(achieved.weights, 12)
  },
)

describe('achieved sparsity', () => {
  stateLaw(agrees, achievedSparsity)

  test('is 0 for the dense mask, and the known share for a known mask, layer by layer', () => {
    const shape = { layers: 2, heads: 2, neurons: 4 }
    expect(achievedSparsity(denseMask(shape), 8)).toMatchObject({ heads: 0, neurons: 0, weights: 0 })
    const mask = makeMask(shape, Float32Array.of(1, 1, 0, 1), Float32Array.of(1, 1, 1, 1, 0, 0, 0, 1))
    const layer = { heads: 0.5, neurons: 0.75, weights: (0.5 * 4 * 64 + 0.75 * 64) / (4 * 64 + 64) }
    expect(achievedSparsity(mask, 8)).toEqual({
      heads: 0.25,
      neurons: 0.375,
      weights: layer.weights / 2,
      layers: [{ heads: 0, neurons: 0, weights: 0 }, layer],
    })
  })

  test("a mutant that forgets three of a head's four matrices is killed", async () => {
    const mutant: typeof achievedSparsity = (mask, width) => achievedSparsity(mask, width / 4)
    await kills(agrees, mutant)
  })
})
