/**
 * The state of the queues of a server: progress, rate, workers, and failed jobs with their errors.
 */
import type { Queue } from 'bullmq'
import { queuePrefix, type QueueTools } from './connection.ts'

/** Jobs of a queue by state. A job that joins the results of a group counts too. */
export interface QueueCounts {
  readonly waiting: number
  /** Waiting for another attempt, or for other jobs. */
  readonly delayed: number
  readonly active: number
  readonly failed: number
}

/** A job that failed on its last attempt. */
interface FailedJob {
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
  /** Jobs done per minute over the recent minutes; null before the first job is done. */
  readonly perMinute: number | null
  /** Estimated seconds until all jobs are done; null without a rate. */
  readonly secondsLeft: number | null
  /** The most recent failures. */
  readonly failures: readonly FailedJob[]
}

/** The window of the rate, in minutes. */
const minutes = 10
/** How many failed jobs are reported. */
const MAX_FAILURES = 10

/** All our queues on a server, sorted by name. */
export async function readQueues(tools: QueueTools): Promise<QueueState[]> {
  const states: QueueState[] = []
  for (const name of await queueNames(tools))
    states.push(await withQueue(tools, name, (queue) => readState(queue, name)))
  return states
}

/** Retries all failed jobs of a queue. @returns how many */
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

/** The mean since the first minute in which a job was done. @param data jobs per minute, the last minute first */
export function rateOf(data: readonly (number | string)[]): number | null {
  const done = data.map(Number)
  const first = done.findLastIndex((jobs) => jobs > 0)
  if (first < 0) return null
  return done.slice(0, first + 1).reduce((total, jobs) => total + jobs, 0) / (first + 1)
}

/** Seconds until the jobs of a queue are done at a rate; failed jobs do not count. */
export function secondsLeft(
  { waiting, delayed, active }: QueueCounts,
  perMinute: number | null,
): number | null {
  const left = waiting + delayed + active
  if (left === 0) return 0
  return perMinute === null || perMinute === 0 ? null : (60 * left) / perMinute
}

async function readFailures(queue: Queue): Promise<FailedJob[]> {
  const failed = await queue.getFailed(0, MAX_FAILURES - 1)
  return failed.map(({ id, name, attemptsMade, failedReason }) => ({
    key: (id ?? '').replace(/^shard-/, ''),
    kind: name,
    attempts: attemptsMade,
    words: failedReason ?? '',
  }))
}
