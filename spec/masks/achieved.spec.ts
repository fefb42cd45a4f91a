/**
 * Achieved sparsity is counted from the mask: it agrees with the budget where the budget is exact, and with a count of
 * unread weights, unit by unit.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { achievedSparsity, type LayerSizes } from '../../src/masks/achieved.ts'
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

/** Share of layer weights no token reads, counted one unit at a time. */
function unreadWeights(mask: UnitMask, { width, headSize, keyHeads, gated }: Required<LayerSizes>): number {
  const { heads, neurons, layers } = mask.shape
  const group = heads / keyHeads
  const ofNeuron = (gated ? 3 : 2) * width
  let unread = 0
  for (const value of mask.heads) if (value === 0) unread += 2 * headSize * width
  for (let first = 0; first < mask.heads.length; first += group)
    if (mask.heads.subarray(first, first + group).every((value) => value === 0))
      unread += 2 * headSize * width
  for (const value of mask.neurons) if (value === 0) unread += ofNeuron
  return unread / (layers * (2 * (heads + keyHeads) * headSize * width + neurons * ofNeuron))
}

/** Sizes of a layer; key heads are the heads over the group, or the heads. */
const layerSizes = fc.record({
  width: fc.integer({ min: 1, max: 40 }),
  headSize: fc.integer({ min: 1, max: 8 }),
  group: fc.integer({ min: 1, max: 3 }),
  gated: fc.boolean(),
})

const agrees = lawForAll(
  'of weights is the share of layer weights that are not read',
  [someMask, layerSizes],
  (measure: typeof achievedSparsity, mask, { group, ...rest }) => {
    const { heads } = mask.shape
    const sizes = { ...rest, keyHeads: heads % group === 0 ? heads / group : heads }
    const achieved = measure(mask, sizes)
    expect(achieved.weights).toBeCloseTo(unreadWeights(mask, sizes), 12)
    const mean = achieved.layers.reduce((total, layer) => total + layer.weights, 0) / achieved.layers.length
    expect(mean).toBeCloseTo(achieved.weights, 12)
  },
)

describe('achieved sparsity', () => {
  stateLaw(agrees, achievedSparsity)

  test('is 0 for the dense mask, and the known share for a known mask, layer by layer', () => {
    const shape = { layers: 2, heads: 2, neurons: 4 }
    expect(achievedSparsity(denseMask(shape), { width: 8 })).toMatchObject({
      heads: 0,
      neurons: 0,
      weights: 0,
    })
    const mask = makeMask(shape, Float32Array.of(1, 1, 0, 1), Float32Array.of(1, 1, 1, 1, 0, 0, 0, 1))
    const layer = { heads: 0.5, neurons: 0.75, weights: (0.5 * 4 * 64 + 0.75 * 64) / (4 * 64 + 64) }
    expect(achievedSparsity(mask, { width: 8 })).toEqual({
      heads: 0.25,
      neurons: 0.375,
      weights: layer.weights / 2,
      layers: [{ heads: 0, neurons: 0, weights: 0 }, layer],
    })
  })

  test("mutants that forget a part of a head's matrices, groups, or a gate are killed", async () => {
    const mutants: (typeof achievedSparsity)[] = [
      (mask, { headSize = 1, ...sizes }) => achievedSparsity(mask, { ...sizes, headSize: headSize / 4 }),
      (mask, sizes) => achievedSparsity(mask, { ...sizes, keyHeads: mask.shape.heads }),
      (mask, sizes) => achievedSparsity(mask, { ...sizes, gated: false }),
    ]
    for (const mutant of mutants) await kills(agrees, mutant)
  })
})
