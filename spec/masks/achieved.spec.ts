/**
 * Achieved sparsity is counted from the mask: it agrees with the budget where the budget is exact, and with a count of
 * unread weights, unit by unit.
 *
 * Tests src/masks/channels.ts and src/tensor/records.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { achievedSparsity, type LayerSizes } from '../../src/masks/achieved.ts'
import { channelSites, type ChannelMask } from '../../src/masks/channels.ts'
import { denseMask, makeMask, type UnitMask, type UnitShape } from '../../src/masks/mask.ts'
import { recordOf } from '../../src/tensor/records.ts'
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
function unreadWeights(
  mask: UnitMask,
  { width, headSize, keyHeads, gated, normsAllHeads }: Required<LayerSizes>,
): number {
  const { heads, neurons, layers } = mask.shape
  const group = heads / keyHeads
  const ofNeuron = (gated ? 3 : 2) * width
  let unread = 0
  const [ofHead, ofKeyHead] = [heads, keyHeads].map(
    (count) => (normsAllHeads && count > 1 ? 1 : 2) * headSize * width,
  )
  for (const value of mask.heads) if (value === 0) unread += ofHead
  for (let first = 0; first < mask.heads.length; first += group)
    if (mask.heads.subarray(first, first + group).every((value) => value === 0)) unread += ofKeyHead
  for (const value of mask.neurons) if (value === 0) unread += ofNeuron
  return unread / (layers * (2 * (heads + keyHeads) * headSize * width + neurons * ofNeuron))
}

/** Sizes of a layer; key heads are the heads over the group, or the heads. */
const layerSizes = fc.record({
  width: fc.integer({ min: 1, max: 40 }),
  headSize: fc.integer({ min: 1, max: 8 }),
  group: fc.integer({ min: 1, max: 3 }),
  gated: fc.boolean(),
  normsAllHeads: fc.boolean(),
})

const agrees = lawForAll(
  'of weights is the share of layer weights that are not read',
  { mask: someMask, layerSizes },
  (measure: typeof achievedSparsity, { mask, layerSizes: { group, ...rest } }) => {
    const { heads } = mask.shape
    const sizes = { ...rest, keyHeads: heads % group === 0 ? heads / group : heads }
    const achieved = measure(mask, sizes)
    expect(achieved.weights).toBeCloseTo(unreadWeights(mask, sizes), 12)
    const mean = achieved.layers.reduce((total, layer) => total + layer.weights, 0) / achieved.layers.length
    expect(mean).toBeCloseTo(achieved.weights, 12)
  },
)

/** A mask of input channels for layers of these sizes, drawn from few numbers that are used over and over. */
function channelsOf(
  { layers, heads, neurons }: UnitShape,
  { width, headSize }: Required<LayerSizes>,
  numbers: readonly number[],
): ChannelMask {
  const widths = { attention: width, heads: heads * headSize, ffn: width, activations: neurons }
  return recordOf(channelSites, (site, place) =>
    Float32Array.from({ length: layers * widths[site] }, (_, n) => numbers[(n + place) % numbers.length]),
  )
}

const countsChannels = lawForAll(
  'of input channels is the share of layer weights that meet a masked one, and of weights that of matrices with a row per input',
  {
    someMask,
    layerSizes,
    numbers: fc.array(fc.constantFrom(0, 1), { minLength: 1, maxLength: 23, size: 'max' }),
  },
  (measure: typeof achievedSparsity, { someMask: { shape }, layerSizes: { group, ...rest }, numbers }) => {
    const { layers, heads, neurons } = shape
    const sizes = { ...rest, keyHeads: heads % group === 0 ? heads / group : heads }
    const channels = channelsOf(shape, sizes, numbers)
    const { width, headSize, keyHeads, gated } = sizes
    // How many numbers of the matrices meet a channel of each site.
    const met = {
      attention: (heads + 2 * keyHeads) * headSize,
      heads: width,
      ffn: (gated ? 2 : 1) * neurons,
      activations: width,
    }
    const masked = recordOf(
      channelSites,
      (site) => met[site] * channels[site].filter((kept) => kept === 0).length,
    )
    const all = layers * width * (2 * (heads + keyHeads) * headSize + (gated ? 3 : 2) * neurons)
    const achieved = measure({ ...denseMask(shape), channels }, sizes)
    expect([achieved.heads, achieved.neurons]).toEqual([0, 0])
    expect(achieved.weights).toBeCloseTo((masked.heads + masked.activations) / all, 12)
    const total = masked.attention + masked.heads + masked.ffn + masked.activations
    expect(achieved.channels).toBeCloseTo(total / all, 12)
    const mean = achieved.layers.reduce((sum, layer) => sum + (layer.channels ?? NaN), 0) / layers
    expect(mean).toBeCloseTo(total / all, 12)
  },
)

describe('achieved sparsity', () => {
  stateLaw(agrees, achievedSparsity)
  stateLaw(countsChannels, achievedSparsity)

  test('mutants that count channels as skipped weights, forget a site, groups or a gate are killed', async () => {
    const mutants: (typeof achievedSparsity)[] = [
      (mask, sizes) => {
        const achieved = achievedSparsity(mask, sizes)
        return { ...achieved, weights: achieved.channels ?? 0 }
      },
      ...channelSites.map((site): typeof achievedSparsity => (mask, sizes) => {
        const { channels } = mask
        if (!channels) return achievedSparsity(mask, sizes)
        return achievedSparsity(
          { ...mask, channels: { ...channels, [site]: channels[site].map(() => 1) } },
          sizes,
        )
      }),
      (mask, sizes) => achievedSparsity(mask, { ...sizes, keyHeads: mask.shape.heads }),
      (mask, sizes) => achievedSparsity(mask, { ...sizes, gated: false }),
    ]
    for (const mutant of mutants) await kills(countsChannels, mutant)
  })

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
      (mask, sizes) => achievedSparsity(mask, { ...sizes, normsAllHeads: false }),
    ]
    for (const mutant of mutants) await kills(agrees, mutant)
  })
})
