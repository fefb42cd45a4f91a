/**
 * The refusals of the commands that use a queue, in one line each.
 */
import { expect, test } from 'vitest'
import { runInside } from './run_inside.ts'

test.each<[string, string[], string]>([
  [
    '--queue without --shards',
    ['calibrate', '--output', 'x', '--queue', 'redis://a'],
    'expected both or none',
  ],
  [
    '--queue with --no-cache',
    ['reproduce', '--quick', '--no-cache', '--queue', 'redis://a', '--shards', 'x'],
    'expected a cache',
  ],
  [
    '--queue with another storage',
    ['eval', '--tasks', 'continuation', '--storage', 'int8', '--queue', 'redis://a', '--shards', 'x'],
    'expected --storage f32, as workers have it, got int8',
  ],
  [
    '--queue with --threads',
    ['eval', '--tasks', 'continuation', '--threads', '2', '--queue', 'redis://a', '--shards', 'x'],
    'no --threads',
  ],
  [
    'a criterion of data sets',
    ['calibrate', '--output', 'x', '--queue', 'redis://a', '--shards', 'x', '--criteria', 'jacov'],
    'no jacov',
  ],
])('%s is refused', async (_, args, words) => {
  const result = await runInside(args)
  expect(result.code).toBe(2)
  expect(result.stderr).toContain(words)
  expect(result.stderr.split('\n')).toHaveLength(2)
})
