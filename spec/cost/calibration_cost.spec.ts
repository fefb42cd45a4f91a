/**
 * What a calibration costs: the operations counted are those of the ops that run.
 *
 * Tests src/cost/calibration_cost.ts and src/backends/counting.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { criterionByName } from '../../src/criteria/index.ts'
import {
  backwardFlops,
  calibrationCost,
  criterionFlops,
  forwardFlops,
  lossFlops,
} from '../../src/cost/calibration_cost.ts'
import { backward } from '../../src/engine/backward.ts'
import { makeConfig, type ModelConfig } from '../../src/engine/config.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { watchBackend } from '../../src/backends/watched.ts'
import { kernels } from '../../src/ops/catalog.ts'
import { killsEach, lawForAll, lawOf, stateLaw } from '../harness/seed.ts'
import { makeSmallModel, smallConfig } from '../calibration/small_calibration.ts'

const someConfig: fc.Arbitrary<ModelConfig> = fc
  .record({
    layers: fc.integer({ min: 1, max: 3 }),
    heads: fc.integer({ min: 1, max: 3 }),
    headSize: fc.integer({ min: 1, max: 4 }),
    neurons: fc.integer({ min: 1, max: 9 }),
    vocabulary: fc.integer({ min: 5, max: 12 }),
    preNorm: fc.boolean(),
    narrow: fc.boolean(),
  })
  .map(({ headSize, narrow, preNorm, ...sizes }) => {
    const width = sizes.heads * headSize
    return makeConfig({
      ...sizes,
      width,
      positions: 16,
      preNorm,
      finalNorm: preNorm,
      embeddingWidth: narrow ? width + 1 : width,
    })
  })

/** Runs work on a backend whose calls are counted by the catalogue. */
async function countFlops(config: ModelConfig, T: number): Promise<{ forward: number; backward: number }> {
  const plain = await createBackend('reference')
  let total = 0
  const counting = watchBackend(plain, (name, args) => {
    const { params, flops } = kernels[name]
    const sizes: Record<string, number> = {}
    params.forEach((param, i) => {
      if (param.kind === 'size') sizes[param.name] = args[i] as number
    })
    total += flops(sizes)
  })
  const own = await makeSmallModel(counting, config)
  const tokens = Int32Array.from({ length: T }, (_, t) => t % config.vocabulary)
  total = 0
  const trace = traceForward(own, tokens)
  const forward = total
  total = 0
  backward(own, trace, tokens).dispose()
  const result = { forward, backward: total }
  trace.dispose()
  own.dispose()
  return result
}

describe('the cost', () => {
  type Flops = (config: ModelConfig, T: number) => number
  const someLength = fc.integer({ min: 2, max: 9 })
  interface Counts {
    readonly forward: Flops
    readonly backward: Flops
  }
  const rightCounts: Counts = { forward: forwardFlops, backward: backwardFlops }

  const isWhatRuns = lawForAll(
    'in operations is that of the ops that run',
    { config: someConfig, T: someLength },
    async ({ forward, backward }: Counts, { config, T }) =>
      expect({ forward: forward(config, T), backward: backward(config, T) }).toEqual(
        await countFlops(config, T),
      ),
    { runs: 40 },
  )
  stateLaw(isWhatRuns, rightCounts)

  killsEach(
    'mutant killed: %s',
    lawOf(isWhatRuns, (mutant: Partial<Counts>) => ({ ...rightCounts, ...mutant })),
    {
      'no logits': { forward: (c, T) => forwardFlops(c, T) - 2 * T * c.vocabulary * c.embeddingWidth },
      'no projection of the embedding': {
        forward: (c, T) => forwardFlops({ ...c, embeddingWidth: c.width }, T),
      },
      'attention as if all tokens saw all': {
        forward: (c, T) => forwardFlops(c, T) + c.layers * T * (T - 1) * c.width,
      },
      'the backward pass twice the forward pass': { backward: (c, T) => 2 * forwardFlops(c, T) },
      'no final norm': { backward: (c, T) => backwardFlops({ ...c, finalNorm: false }, T) },
    },
  )

  test('of a calibration is the sum over its windows, and the ratio is against a plain pass', () => {
    const plainact = criterionByName('plainact')
    const twice = { name: 'twice', cost: { forward: 1, backward: 2 } }
    const { flops, seconds, tokens, windows } = calibrationCost(smallConfig, [4, 7], [plainact, twice])
    const sum = (cost: (T: number) => number): number => cost(4) + cost(7)
    const reading = sum((T) => 2 * T * smallConfig.layers * (smallConfig.width + smallConfig.neurons))
    expect([windows, tokens, seconds]).toEqual([2, 11, null])
    expect(flops.plain).toBe(sum((T) => forwardFlops(smallConfig, T) + lossFlops(smallConfig, T)))
    expect(flops.criteria.plainact).toBe(reading)
    expect(flops.criteria.twice).toBe(flops.forward + 2 * flops.backward + reading)
    const all = flops.forward + flops.backward + flops.criteria.plainact + flops.criteria.twice
    expect(flops.ratio).toBe(all / flops.plain)
    expect(criterionFlops(plainact.cost, smallConfig, 1)).toBe(2 * 2 * (8 + 6))
  })

  test('in seconds is the median of what was measured, part by part', () => {
    const times = [1, 5, 2].map(
      (second) =>
        new Map([
          ['plain', second],
          ['forward', 2 * second],
          ['backward', 3 * second],
          ['plainact', second / 2],
        ]),
    )
    const { seconds, measured } = calibrationCost(smallConfig, [4], [criterionByName('plainact')], times)
    expect(measured).toBe(3)
    expect(seconds).toEqual({ plain: 2, forward: 4, backward: 6, criteria: { plainact: 1 }, ratio: 11 / 2 })
  })
})
