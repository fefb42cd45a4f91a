/**
 * Things that are compared take turns, and nobody has better ones than another.
 */
import { describe, expect, test } from 'vitest'
import { takeTurns, takeTurnsWaiting, turns } from '../../bench/timing.ts'

describe('turns', () => {
  const roundsOf = (order: Iterable<number>, jobs: number): number[][] => {
    const all = [...order]
    return Array.from({ length: all.length / jobs }, (_, round) =>
      all.slice(round * jobs, (round + 1) * jobs),
    )
  }
  const fairness = (turnsOf: typeof turns): void => {
    for (const jobs of [1, 2, 3, 5]) {
      const rounds = roundsOf(turnsOf(jobs, 2 * jobs), jobs)
      expect(rounds).toHaveLength(2 * jobs)
      const everyone = Array.from({ length: jobs }, (_, i) => i)
      for (const round of rounds) expect(round.toSorted()).toEqual(everyone)
      const first = rounds.map(([job]) => job)
      for (const half of [first.slice(0, jobs), first.slice(jobs)]) expect(half.toSorted()).toEqual(everyone)
      // Each order comes with its reverse, so nobody always follows the same one.
      if (jobs > 2) expect(new Set(rounds.map((round) => String(round))).size).toBe(2 * jobs)
    }
  }

  test('each job has one turn a round and begins as often as any other, in both directions', () =>
    fairness(turns))

  test.each([
    ['the same one begins', (_jobs: number, _round: number, turn: number) => turn],
    ['one direction', (jobs: number, round: number, turn: number) => (round + turn) % jobs],
    [
      'the direction changes each round',
      (jobs: number, round: number, turn: number) =>
        (round + (round % 2 === 0 ? turn : jobs - 1 - turn)) % jobs,
    ],
  ])('a mutant is killed: %s', (_, job) => {
    function* broken(jobs: number, rounds: number): Generator<number> {
      for (let round = 0; round < rounds; round++)
        for (let turn = 0; turn < jobs; turn++) yield job(jobs, round, turn)
    }
    expect(() => fairness(broken)).toThrow('expected')
  })

  test('every job runs once untimed, then has its turns', () => {
    const log: string[] = []
    const job = (name: string, work: number) => ({ name, work, run: () => void log.push(name) })
    const rates = takeTurns([job('a', 1), job('b', 3)], 2)
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
    const rates = await takeTurnsWaiting([job('a'), job('b')], 2)
    const once = (name: string): string[] => [`prepare ${name}`, `run ${name}`]
    // Untimed, then two rounds.
    expect(log).toEqual(['a', 'b', 'a', 'b', 'b', 'a'].flatMap(once))
    expect(rates.map(({ name, samples }) => [name, samples.length])).toEqual([
      ['a', 2],
      ['b', 2],
    ])
  })
})
