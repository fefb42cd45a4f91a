/**
 * A cluster on paper loses nothing and counts nothing twice, whatever dies; and takes the time it must.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { simulateCluster, type ClusterRules, type ClusterSettings } from '../../src/jobs/simulate.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

const quiet: ClusterSettings = {
  workers: 10,
  jobs: 100,
  jobSeconds: 60,
  spread: 0,
  loadSeconds: 0,
  lockSeconds: 30,
  deathsPerHour: 0,
  restartSeconds: 300,
  cutsPerHour: 0,
  cutSeconds: 120,
  seed: 0,
}

const anyCluster: fc.Arbitrary<ClusterSettings> = fc.record({
  workers: fc.integer({ min: 1, max: 300 }),
  jobs: fc.integer({ min: 1, max: 2000 }),
  jobSeconds: fc.double({ min: 1, max: 600, noNaN: true }),
  spread: fc.double({ min: 0, max: 0.3, noNaN: true }),
  loadSeconds: fc.double({ min: 0, max: 600, noNaN: true }),
  lockSeconds: fc.double({ min: 1, max: 120, noNaN: true }),
  deathsPerHour: fc.double({ min: 0, max: 6, noNaN: true }),
  restartSeconds: fc.double({ min: 0, max: 600, noNaN: true }),
  cutsPerHour: fc.double({ min: 0, max: 20, noNaN: true }),
  cutSeconds: fc.double({ min: 0, max: 600, noNaN: true }),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
})

/** `rules` are those of the simulation unless told. */
const losesNothing = lawForAll(
  'loses nothing',
  { settings: anyCluster },
  (rules: ClusterRules | undefined, { settings }) => {
    const { done, makespan, efficiency } = simulateCluster(settings, rules)
    expect(done).toBe(settings.jobs)
    // No job is done before a worker has its model, and no worker does two at once.
    expect(makespan).toBeGreaterThanOrEqual(settings.loadSeconds)
    expect(efficiency).toBeLessThanOrEqual(1 + 1e-9)
  },
)

/** Every machine fails many times in the course of this. */
const failing: ClusterSettings = { ...quiet, jobs: 2000, deathsPerHour: 5, cutsPerHour: 20, spread: 0.2 }

describe('a cluster', () => {
  stateLaw(losesNothing, undefined)

  killsEach('a mutant is killed: %s', losesNothing, {
    'no lock ever runs out': { handsOutAgain: false, countsOnce: true },
    'a second result counts too': { handsOutAgain: true, countsOnce: false },
  })

  test('without failures takes rounds of equal jobs, plus loading', () => {
    expect(simulateCluster(quiet)).toEqual({
      makespan: 600,
      done: 100,
      twice: 0,
      again: 0,
      deaths: 0,
      efficiency: 1,
    })
    expect(simulateCluster({ ...quiet, jobs: 101, loadSeconds: 7 }).makespan).toBe(667)
    expect(simulateCluster({ ...quiet, workers: 1000 }).makespan).toBe(60)
  })

  test('with failures repeats some jobs and takes longer', () => {
    const found = simulateCluster(failing)
    expect(found.deaths).toBeGreaterThan(100)
    expect(found.again).toBeGreaterThanOrEqual(found.deaths)
    expect(found.twice).toBeGreaterThan(0)
    expect(found.makespan).toBeGreaterThan(
      simulateCluster({ ...failing, deathsPerHour: 0, cutsPerHour: 0 }).makespan,
    )
  })

  test.each([100, 1000, 10_000])('of %i workers ends, equally for equal seeds', (workers) => {
    const large = { ...failing, workers, jobs: 20 * workers, deathsPerHour: 1, cutsPerHour: 1 }
    const found = simulateCluster(large)
    expect(found.done).toBe(large.jobs)
    expect(simulateCluster(large)).toEqual(found)
    expect(simulateCluster({ ...large, seed: 1 }).makespan).not.toBe(found.makespan)
  })
})
