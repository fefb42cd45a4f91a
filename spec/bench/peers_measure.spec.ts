/**
 * What the bench of peers times of an arm.
 */
import { expect, test } from 'vitest'
import { capacityOf, timeArms, type LoadedArm, type Task } from '../../bench/peers/measure.ts'

/** An arm that notes what it is asked. */
function noting(asked: string[]): LoadedArm {
  const about = { name: 'an arm', engine: 'none', weights: 'none', format: 'F32', threads: 1 } as const
  const decoder = {
    begin: (prompt: Int32Array) => (asked.push(`begin ${prompt.length}`), new Float32Array(0)),
    next: () => (asked.push('next'), new Float32Array(0)),
    dispose: () => {},
  }
  return { ...about, sparsity: 0, error: null, weightsRead: null, decoder }
}

const rounds = 2
const short: Task = { name: 'short', prompt: 3, steps: 1 }

test('a round begins its prompt anew, unless it goes on', async () => {
  const asked: string[] = []
  await timeArms([noting(asked)], 10, rounds, [short])
  expect(asked).toEqual(['begin 3', 'next', 'begin 3', 'next', 'begin 3', 'next'])
  asked.length = 0
  await timeArms([noting(asked)], 10, rounds, [{ ...short, goesOn: true }])
  expect(asked).toEqual(['begin 3', 'next', 'next', 'next'])
})

test('there is room for each position that is asked for, and one', () => {
  expect(capacityOf([short], rounds)).toBe(5)
  expect(capacityOf([short, { ...short, goesOn: true }], rounds)).toBe(7)
})
