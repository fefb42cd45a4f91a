/**
 * Things that are timed take turns; spec/results/interleaved_rounds.spec.ts says whose turn it is.
 */
import { describe, expect, test } from 'vitest'
import { interleave, interleaveAsync } from '../../bench/timing.ts'

describe('interleaved rounds', () => {
  test('every job runs once untimed, then has its turns', () => {
    const log: string[] = []
    const job = (name: string, work: number) => ({ name, work, run: () => void log.push(name) })
    const rates = interleave([job('a', 1), job('b', 3)], 2)
    expect(log).toEqual(['a', 'b', 'a', 'b', 'b', 'a'])
    expect(rates.map(({ name, samples }) => [name, samples.length])).toEqual([
      ['a', 2],
      ['b', 2],
    ])
  })

  test('a job that waits is prepared before each run', async () => {
    const log: string[] = []
    const job = (name: string) => ({
      name,
      work: 2,
      prepare: async () => void log.push(`prepare ${name}`),
      run: async () => void log.push(`run ${name}`),
    })
    const rates = await interleaveAsync([job('a'), job('b')], 2)
    const once = (name: string): string[] => [`prepare ${name}`, `run ${name}`]
    // Untimed, then two rounds.
    expect(log).toEqual(['a', 'b', 'a', 'b', 'b', 'a'].flatMap(once))
    expect(rates.map(({ name, samples }) => [name, samples.length])).toEqual([
      ['a', 2],
      ['b', 2],
    ])
  })

  test('of a job with a clock of its own, the time by that clock since it was prepared counts', async () => {
    let clock = 0
    let elapsed = 0
    const job = {
      name: 'a',
      work: 2,
      prepare: async () => void (clock += 1000),
      async run() {
        const start = performance.now()
        while (performance.now() - start < 3);
        elapsed = performance.now() - start
        clock += 0.5
      },
      async clock() {
        const read = clock
        clock = 0
        return read
      },
    }
    const [{ samples, outside }] = await interleaveAsync([job], 1)
    expect(samples).toEqual([2 / 0.5])
    expect(outside).toHaveLength(1)
    expect(outside?.[0]).toBeGreaterThanOrEqual((elapsed - 0.5) / 2 - 1e-9)
  })
})
