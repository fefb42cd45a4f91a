/**
 * What the commands that use a queue refuse, in one line each, and what is printed of queues.
 *
 * Tests src/cli/commands/jobs.ts, src/cli/commands/worker.ts and src/cli/queue_flags.ts.
 */
import { expect, test } from 'vitest'
import { formatQueues } from '../../../src/cli/commands/jobs.ts'
import { runInside } from '../run_inside.ts'

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

test.each<[string, string, string | undefined, boolean]>([
  ['over the network in clear', 'redis://0.0.0.0:1', 'secret', true],
  ['over the network by TLS', 'rediss://0.0.0.0:1', 'secret', false],
  ['on this machine', 'redis://127.0.0.1:1', 'secret', false],
  ['nowhere, as there is none', 'redis://0.0.0.0:1', undefined, false],
])('a password that goes %s: %s', async (_, url, password, isTold) => {
  const env = password === undefined ? undefined : { SHADOWLLM_QUEUE_PASSWORD: password }
  const { code, stderr } = await runInside(['jobs', '--queue', url], { env })
  const lines = stderr.trimEnd().split('\n')
  expect([code, lines.at(-1)]).toEqual([5, expect.stringContaining('[QUEUE_CONNECTION]')])
  expect(lines.slice(0, -1)).toEqual(
    isTold ? ['0.0.0.0: the password of the queue is sent unencrypted; rediss:// encrypts it'] : [],
  )
})

const state = {
  name: 'a',
  workers: 1000,
  counts: { waiting: 2, delayed: 3, active: 4, failed: 5 },
  perMinute: 1.25,
  secondsLeft: 0,
  failures: [],
}

test.each([
  [0, '0 s'],
  [5369, '89 min'],
  [null, '-'],
])('a remaining time of %d seconds is written as %s', (secondsLeft, left) => {
  const [, row] = formatQueues([{ ...state, secondsLeft }]).split('\n')
  expect(row.split(/ {2,}/).at(-1)).toBe(left)
})

test('queues are a table with numbers on the right, then a line for each failed job', () => {
  const failures = [
    { key: '0123456789abcdef', kind: 'score', attempts: 3, words: 'one\n  two' },
    { key: 'short', kind: 'score', attempts: 1, words: '' },
  ]
  const other = { ...state, name: 'longer', perMinute: null, failures }
  expect(formatQueues([state, other]).split('\n')).toEqual([
    'queue   workers  waiting  later  active  failed  per minute  left',
    'a         1,000        2      3       4       5         1.3   0 s',
    'longer    1,000        2      3       4       5           -   0 s',
    'failed score 0123456789ab after 3 tries: one two',
    'failed score short after 1 tries: ',
    '',
  ])
})
