/**
 * What a calibration costs on many machines is counted like one that runs here.
 */
import { describe, expect, test } from 'vitest'
import { backwardFlops, forwardFlops } from '../../src/cost/calibration_cost.ts'
import { exampleForms } from '../../src/calibration/calibration_files.ts'
import { architectureByName, architectures } from '../../src/cost/architectures.ts'
import { clusterCost, resultBytes, defaultCluster, windowFlops } from '../../src/cost/cluster.ts'

const opts = architectures.filter(({ gated }) => !gated)

const agrees = (count: typeof windowFlops): void => {
  for (const model of opts) {
    const exact = forwardFlops(model, 256) + backwardFlops(model, 256)
    expect(count(model, 256) / exact, model.name).toBeGreaterThan(0.97)
    expect(count(model, 256) / exact, model.name).toBeLessThan(1.03)
  }
}

describe('a cluster', () => {
  test('counts the operations of a calibration per window within 3 %', () => agrees(windowFlops))
  test('mutants are killed: one pass, no attention', () => {
    expect(() => agrees((model, T) => windowFlops(model, T) / 2)).toThrow('opt-125m')
    expect(() =>
      agrees((model, T) => windowFlops(model, T) - 16 * T * T * model.layers * model.width),
    ).toThrow('opt')
  })

  test('keeps as many bytes as the files of a calibration hold', () => {
    const model = architectureByName('opt-125m')
    const { layers, heads, neurons, width } = model
    const named = (name: string): { name: string; formula: string } => ({ name, formula: '' })
    const forms = exampleForms(
      {
        model: { hash: '', layers, heads, neurons, width },
        data: { name: '', hash: '', windows: 1, groups: [] },
        criteria: ['plainact', 'fisher'].map(named),
        datasetCriteria: [],
        seed: 0,
        keepSequence: false,
        mask: null,
      },
      Array.from({ length: 10 }, () => 128),
    )
    let numbers = 0
    for (const { shape } of forms.values()) numbers += shape.reduce((size, n) => size * n, 1)
    // Besides: place, group, length and loss of each.
    expect(4 * (numbers - 40)).toBe(resultBytes(model, 10, 2))
  })

  test.each([
    [0.001, 100, 1],
    [7, 100, 12], // nine windows are 63 s, and eight are 56
    [8.3, 100, 15], // seven windows are 58 s, and eight are 66
    [40, 100, 50], // one window is 40 s, and two are 80
    [100, 7, 7],
  ])('whose windows take %d s each has jobs of a minute: %d windows, %d jobs', (seconds, windows, jobs) => {
    const model = architectureByName('opt-125m')
    const flops = windowFlops(model, defaultCluster.tokens) / seconds
    const { outcome } = clusterCost(model, { ...defaultCluster, deathsPerHour: 0, windows }, flops)
    expect(outcome.done).toBe(jobs)
  })

  test('of twice as many machines takes half as long, but for the loading', () => {
    const model = architectureByName('opt-66b')
    const at = (machines: number): number =>
      clusterCost(model, { ...defaultCluster, deathsPerHour: 0, windows: 2 ** 14, machines }, 1e12).outcome
        .makespan -
      clusterCost(model, { ...defaultCluster, windows: 1, machines }, 1e12).weights / defaultCluster.loading
    expect(at(16) / at(32)).toBeGreaterThan(1.9)
    expect(at(16) / at(32)).toBeLessThan(2.1)
  })
})
