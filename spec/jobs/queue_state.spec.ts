/**
 * What is told of the queues of a server, on a server that is played: whose they are, what stands in them, how fast they are.
 */
import { expect, test } from 'vitest'
import type { QueueTools } from '../../src/jobs/connection.ts'
import { readQueues, retryFailed } from '../../src/jobs/queue_state.ts'

/** A queue as the server has it. */
interface Played {
  readonly counts: Readonly<Record<string, number>>
  readonly workers: number
  /** Jobs of each minute, the last one first. */
  readonly minutes: readonly number[]
  readonly failed: readonly object[]
}

interface Player {
  readonly tools: QueueTools
  /** The kinds of jobs that were tried again, by queue. */
  readonly retried: string[]
  /** How many connections and queues are open. */
  readonly open: () => number
}

/** A server with these queues, which names its keys in pages. */
function play(queues: Readonly<Record<string, Played>>, pages: readonly (readonly string[])[]): Player {
  let open = 0
  const retried: string[] = []
  const connect = () => {
    open++
    return {
      scan: async (cursor: string, _match: string, pattern: string) => {
        const matches = new RegExp(`^${pattern.replaceAll('*', '.*')}$`)
        const page = Number(cursor)
        const next = page + 1 < pages.length ? page + 1 : 0
        return [String(next), pages[page].filter((key) => matches.test(key))]
      },
      disconnect: () => void open--,
    }
  }
  class Queue {
    readonly #state: Played
    readonly #name: string
    constructor(name: string, { prefix }: { readonly prefix: string }) {
      open++
      expect(Object.keys(queues)).toContain(name)
      expect(prefix).toBe('shadowllm')
      this.#name = name
      this.#state = queues[name]
    }
    on = (): void => {}
    close = async (): Promise<void> => void open--
    getJobCounts = async (...kinds: string[]): Promise<object> =>
      Object.fromEntries(Object.entries(this.#state.counts).filter(([kind]) => kinds.includes(kind)))
    getWorkersCount = async (): Promise<number> => this.#state.workers
    getMetrics = async (kind: string, from: number, to: number): Promise<object> => {
      return { data: kind === 'completed' ? this.#state.minutes.slice(from, to + 1) : [] }
    }
    getFailed = async (from: number, to: number): Promise<readonly object[]> =>
      this.#state.failed.slice(from, to + 1)
    getFailedCount = async (): Promise<number> => this.#state.counts.failed ?? 0
    retryJobs = async ({ state }: { readonly state: string }): Promise<void> =>
      void retried.push(`${this.#name} ${state}`)
  }
  return { tools: { bullmq: { Queue }, connect } as unknown as QueueTools, retried, open: () => open }
}

const idle: Played = { counts: {}, workers: 0, minutes: [], failed: [] }

test('our queues on every page of keys are listed once, by name', async () => {
  const { tools, open } = play({ 'b:2': idle, a: idle, c: idle }, [
    ['shadowllm:c:meta', 'shadowllm:b:2:meta', 'shadowllm:a:id', 'other:d:meta'],
    [],
    ['shadowllm:b:2:meta', 'shadowllm:a:meta'],
  ])
  expect((await readQueues(tools)).map(({ name }) => name)).toEqual(['a', 'b:2', 'c'])
  expect(open()).toBe(0)
})

test('jobs are counted by state; the rate is over ten minutes, and ten failures are listed', async () => {
  const counts = { waiting: 1, prioritized: 2, delayed: 4, 'waiting-children': 8, active: 16, failed: 32 }
  const failed = Array.from({ length: 12 }, (_, i) => ({
    id: `shard-${i}`,
    name: 'score',
    attemptsMade: i,
    failedReason: `reason ${i}`,
  }))
  // The eleventh minute is too long ago.
  const minutes = [4, 0, 0, 0, 0, 0, 0, 0, 0, 6, 1000]
  const { tools } = play({ a: { counts, workers: 3, minutes, failed } }, [['shadowllm:a:meta']])
  expect(await readQueues(tools)).toEqual([
    {
      name: 'a',
      workers: 3,
      counts: { waiting: 3, delayed: 12, active: 16, failed: 32 },
      perMinute: 1,
      // 31 jobs at one a minute.
      secondsLeft: 31 * 60,
      failures: Array.from({ length: 10 }, (_, i) => ({
        key: `${i}`,
        kind: 'score',
        attempts: i,
        words: `reason ${i}`,
      })),
    },
  ])
})

test('facts that the server lacks about a failed job are empty', async () => {
  const failed = [{ name: 'score', attemptsMade: 1 }]
  const { tools } = play({ a: { ...idle, failed } }, [['shadowllm:a:meta']])
  const [{ failures, counts, perMinute, secondsLeft }] = await readQueues(tools)
  expect(failures).toEqual([{ key: '', kind: 'score', attempts: 1, words: '' }])
  expect(counts).toEqual({ waiting: 0, delayed: 0, active: 0, failed: 0 })
  expect([perMinute, secondsLeft]).toEqual([null, 0])
})

test('only failed jobs are retried, and only if there are any', async () => {
  const { tools, retried, open } = play({ a: { ...idle, counts: { failed: 1 } }, b: idle }, [[]])
  expect([await retryFailed(tools, 'a'), await retryFailed(tools, 'b')]).toEqual([1, 0])
  expect(retried).toEqual(['a failed'])
  expect(open()).toBe(0)
})
