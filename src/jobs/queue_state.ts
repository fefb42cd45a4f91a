/**
 * What stands in the queues of a server: how far each is, how fast, who works on it, what failed and why.
 */
import type { Queue } from 'bullmq'
import { queuePrefix, type QueueTools } from './connection.ts'

/** Jobs of a queue by what becomes of them. Joining the results of a group is a job too. */
export interface QueueCounts {
  readonly waiting: number
  /** Waiting for another try, or for other jobs. */
  readonly delayed: number
  readonly active: number
  readonly failed: number
}

/** A job that failed on its last try. */
export interface FailedShard {
  readonly key: string
  readonly kind: string
  readonly attempts: number
  readonly words: string
}

/** A queue. */
export interface QueueState {
  /** The model, the method and the kind of bits that its workers must have: see `queueName`. */
  readonly name: string
  readonly workers: number
  readonly counts: QueueCounts
  /** Jobs done in a minute, over the last minutes in which any was; null before there is one. */
  readonly perMinute: number | null
  /** Seconds until all that is there is done; null where nothing tells. */
  readonly secondsLeft: number | null
  /** The last of those that failed. */
  readonly failures: readonly FailedShard[]
}

/** How many minutes a rate is taken over. */
const minutes = 10
/** How many failed jobs are told of. */
const MAX_FAILURES = 10

/** Every queue of ours on a server, by name. */
export async function readQueues(tools: QueueTools): Promise<QueueState[]> {
  const states: QueueState[] = []
  for (const name of await queueNames(tools))
    states.push(await withQueue(tools, name, (queue) => readState(queue, name)))
  return states
}

/** Lets all jobs of a queue that failed be tried again; returns how many. */
export function retryFailed(tools: QueueTools, name: string): Promise<number> {
  return withQueue(tools, name, async (queue) => {
    const count = await queue.getFailedCount()
    if (count > 0) await queue.retryJobs({ state: 'failed' })
    return count
  })
}

async function queueNames(tools: QueueTools): Promise<string[]> {
  const redis = tools.connect()
  const names = new Set<string>()
  try {
    let cursor = '0'
    do {
      const [next, keys] = await redis.scan(cursor, 'MATCH', `${queuePrefix}:*:meta`, 'COUNT', 1000)
      for (const key of keys) names.add(key.slice(queuePrefix.length + 1, -':meta'.length))
      cursor = next
    } while (cursor !== '0')
  } finally {
    redis.disconnect()
  }
  return [...names].toSorted()
}

async function withQueue<T>(tools: QueueTools, name: string, use: (queue: Queue) => Promise<T>): Promise<T> {
  const connection = tools.connect()
  const queue = new tools.bullmq.Queue(name, { connection, prefix: queuePrefix })
  queue.on('error', () => {})
  try {
    return await use(queue)
  } finally {
    await queue.close()
    connection.disconnect()
  }
}

async function readState(queue: Queue, name: string): Promise<QueueState> {
  const found = await queue.getJobCounts(
    'waiting',
    'prioritized',
    'delayed',
    'waiting-children',
    'active',
    'failed',
  )
  const count = (...kinds: string[]): number => kinds.reduce((total, kind) => total + (found[kind] ?? 0), 0)
  const counts: QueueCounts = {
    waiting: count('waiting', 'prioritized'),
    delayed: count('delayed', 'waiting-children'),
    active: count('active'),
    failed: count('failed'),
  }
  const workers = await queue.getWorkersCount()
  const perMinute = rateOf((await queue.getMetrics('completed', 0, minutes - 1)).data)
  return {
    name,
    workers,
    counts,
    perMinute,
    secondsLeft: secondsLeft(counts, perMinute),
    failures: await readFailures(queue),
  }
}

/** The mean of the minutes from the first in which a job was done. @param data the last minute first */
export function rateOf(data: readonly (number | string)[]): number | null {
  const done = data.map(Number)
  const first = done.findLastIndex((jobs) => jobs > 0)
  if (first < 0) return null
  return done.slice(0, first + 1).reduce((total, jobs) => total + jobs, 0) / (first + 1)
}

/** How long what is there takes at a rate; failed jobs are nobody's work any more. */
export function secondsLeft(
  { waiting, delayed, active }: QueueCounts,
  perMinute: number | null,
): number | null {
  const left = waiting + delayed + active
  if (left === 0) return 0
  return perMinute === null || perMinute === 0 ? null : (60 * left) / perMinute
}

async function readFailures(queue: Queue): Promise<FailedShard[]> {
  const failed = await queue.getFailed(0, MAX_FAILURES - 1)
  return failed.map(({ id, name, attemptsMade, failedReason }) => ({
    key: (id ?? '').replace(/^shard-/, ''),
    kind: name,
    attempts: attemptsMade,
    words: failedReason ?? '',
  }))
}
