/**
 * The runner over a queue: shards become jobs, workers anywhere do them, and their results are read from the store.
 *
 * What counts is the store alone. The queue is how work is handed out, and may lose or repeat it: a server that is
 * started again may have forgotten its last second, a worker may die after it has written. So a shard is done when its
 * result is in the store; one that is neither there nor in the queue is put there again; and one that is done twice has
 * one result, because its name is the hash of what it is made from.
 *
 * Shards go in groups, each with a job that joins the group's results, BullMQ's parent of them: one file to fetch in
 * place of many. Where that job fails, or is lost, the results are fetched one by one.
 */
import type { FlowProducer, Job, Queue, QueueEvents } from 'bullmq'
import { queuePrefix, type QueueTools } from './connection.ts'
import { orAborted, type RunOptions, type ShardRunner } from './runner.ts'
import { shardKey, type Shard } from './shard.ts'
import { ShardsFailed } from './shard_error.ts'
import { jobData, jobIdOf, jobOptions, joinShard, splitJoined, type JobData } from './shard_job.ts'
import type { ShardStore } from './shard_store.ts'
import type { Redis } from 'ioredis'

/** What a runner over a queue is made of. */
export interface QueueRunnerOptions {
  readonly tools: QueueTools
  readonly queue: string
  readonly store: ShardStore
  /** Examples in a shard. Default: 8. */
  readonly examplesPerShard?: number
  /** How often a shard is tried. Default: 3. */
  readonly attempts?: number
  /** Milliseconds between two looks at the store where nothing is heard of the queue. Default: 1000. */
  readonly every?: number
}

/** Shards that one job joins. */
const groupSize = 16
/** Groups that are in the queue ahead of the one that is waited for. */
const groupsAhead = 64

/** See the head of this file. */
export class QueueRunner implements ShardRunner {
  readonly store: ShardStore
  readonly examplesPerShard: number
  readonly #options: QueueRunnerOptions
  readonly #attempts: number
  readonly #connection: Redis
  readonly #queue: Queue<JobData>
  readonly #flows: FlowProducer
  readonly #events: QueueEvents
  /** Called whenever something is heard of a job. */
  readonly #listeners = new Set<(jobId: string, isDone: boolean) => void>()

  constructor(options: QueueRunnerOptions) {
    this.#options = options
    this.#attempts = options.attempts ?? 3
    this.store = options.store
    this.examplesPerShard = options.examplesPerShard ?? 8
    const { bullmq } = options.tools
    this.#connection = options.tools.connect()
    const base = { connection: this.#connection, prefix: queuePrefix }
    this.#queue = new bullmq.Queue<JobData>(options.queue, base)
    this.#flows = new bullmq.FlowProducer(base)
    this.#events = new bullmq.QueueEvents(options.queue, base)
    // The server is away: all of them try again by themselves.
    this.#queue.on('error', () => {})
    this.#flows.on('error', () => {})
    this.#events.on('error', () => {})
    this.#events.on('completed', ({ jobId }) => this.#hear(jobId, true))
    this.#events.on('failed', ({ jobId }) => this.#hear(jobId, false))
  }

  /** How many workers listen. */
  workers(): Promise<number> {
    return this.#queue.getWorkersCount()
  }

  async *run(
    shards: readonly Shard[],
    { signal, onShard }: RunOptions = {},
  ): AsyncGenerator<Uint8Array, void, void> {
    const groups = await makeGroups(shards)
    const done = new Set<string>()
    const keyOf = new Map(groups.flatMap(({ keys }) => keys.map((key) => [jobIdOf(key), key])))
    const note = (keys: Iterable<string>): void => {
      const before = done.size
      for (const key of keys) done.add(key)
      if (done.size > before) onShard?.(done.size, shards.length)
    }
    const onJob = (jobId: string, isDone: boolean): void => {
      const key = keyOf.get(jobId)
      if (key !== undefined && isDone) note([key])
    }
    this.#listeners.add(onJob)
    const failures = new Map<string, string>()
    let asked = 0
    let asking = Promise.resolve()
    try {
      for (const [i, group] of groups.entries()) {
        while (asked < Math.min(groups.length, i + groupsAhead)) {
          asking = this.#ask(groups[asked++])
          await orAborted(asking, signal)
        }
        const results = await orAborted(
          this.#resultsOf(group, failures, () => !signal?.aborted),
          signal,
        )
        note(group.keys)
        if (failures.size === 0) yield* results
      }
    } finally {
      this.#listeners.delete(onJob)
      if (done.size < shards.length) await this.#takeBack(groups.slice(0, asked), done, asking)
    }
    if (failures.size > 0) throw new ShardsFailed(failures, shards.length)
  }

  async close(): Promise<void> {
    // Without a server there is nobody to say goodbye to.
    this.#connection.disconnect()
    await Promise.allSettled([this.#queue.close(), this.#flows.close(), this.#events.close()])
    await this.store.close()
  }

  /** Puts a group's shards into the queue that have no result yet; those that failed in an earlier run are tried again. */
  async #ask({ shards, keys, join, joinKey }: Group): Promise<void> {
    const open: number[] = []
    for (const [i, key] of keys.entries()) if (!(await this.store.has(key))) open.push(i)
    if (open.length === 0) return
    for (const key of [...open.map((i) => keys[i]), joinKey]) {
      const job = await this.#jobOf(key)
      if (job && (await job.isFailed())) await job.remove()
    }
    const { queue: queueName } = this.#options
    const attempts = this.#attempts
    await this.#flows.add({
      name: join.kind,
      queueName,
      prefix: queuePrefix,
      data: jobData(join),
      opts: jobOptions(joinKey, attempts),
      children: open.map((i) => ({
        name: shards[i].kind,
        queueName,
        prefix: queuePrefix,
        data: jobData(shards[i]),
        // A shard that failed to the last fails the join; the others are done all the same.
        opts: { ...jobOptions(keys[i], attempts), failParentOnFailure: true },
      })),
    })
  }

  /**
   * The results of a group, as soon as each has one or has failed; what failed is missing, and added to `failures`.
   * @param isWanted false once nobody waits any more
   */
  async #resultsOf(
    group: Group,
    failures: Map<string, string>,
    isWanted: () => boolean,
  ): Promise<Uint8Array[]> {
    const { keys, joinKey } = group
    while (isWanted()) {
      const joined = await this.store.readOrRemove(joinKey)
      if (joined) return splitJoined(joined, keys.length)
      const results = await this.#singleResults(group, failures, isWanted)
      if (results) return results
      await this.#change(new Set([...keys, joinKey].map(jobIdOf)))
    }
    return []
  }

  /** The results one by one; null while there is one that may still come. */
  async #singleResults(
    { shards, keys }: Group,
    failures: Map<string, string>,
    isWanted: () => boolean,
  ): Promise<Uint8Array[] | null> {
    let isWhole = true
    for (const [i, key] of keys.entries()) {
      if (failures.has(key) || (await this.store.has(key))) continue
      const failed = await this.#failureOf(shards[i], key, isWanted)
      if (failed === null) isWhole = false
      else failures.set(key, failed)
    }
    if (!isWhole) return null
    const results: Uint8Array[] = []
    for (const key of keys) {
      if (failures.has(key)) continue
      const result = await this.store.readOrRemove(key)
      // It was damaged, and will be made again.
      if (!result) return null
      results.push(result)
    }
    return results
  }

  /** Why a shard without a result has failed; null if it has not. One that the queue has lost is put there again. */
  async #failureOf(shard: Shard, key: string, isWanted: () => boolean): Promise<string | null> {
    const job = await this.#jobOf(key)
    if (job && (await job.isFailed())) return job.failedReason || 'no reason given'
    const isComing = job && !(await job.isCompleted())
    if (isComing || (await this.store.has(key))) return null
    if (job) await job.remove().catch(() => {})
    // After the run is aborted, missing jobs are those that were taken back.
    if (isWanted()) await this.#queue.add(shard.kind, jobData(shard), jobOptions(key, this.#attempts))
    return null
  }

  async #jobOf(key: string): Promise<Job<JobData> | null> {
    return (await this.#queue.getJob(jobIdOf(key))) ?? null
  }

  /** Resolves when something is heard of one of these jobs, or after a while. */
  #change(jobIds: ReadonlySet<string>): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#listeners.delete(onJob)
        resolve()
      }
      const onJob = (jobId: string): void => {
        if (jobIds.has(jobId)) end()
      }
      const timer = setTimeout(end, this.#options.every ?? 1000)
      this.#listeners.add(onJob)
    })
  }

  /**
   * Takes out of the queue what nobody waits for any more; what is being done is finished, and kept in the store. A server
   * that does not answer is not waited for.
   * @param asking settles when the last group is in the queue
   */
  async #takeBack(groups: readonly Group[], done: ReadonlySet<string>, asking: Promise<void>): Promise<void> {
    const remove = async (): Promise<void> => {
      await asking.catch(() => {})
      for (const { keys, joinKey } of groups)
        for (const key of [joinKey, ...keys]) {
          if (done.has(key)) continue
          const job = await this.#jobOf(key)
          // One that is being done is locked.
          if (job && !(await job.isFailed())) await job.remove().catch(() => {})
        }
    }
    let timer: ReturnType<typeof setTimeout> | undefined
    const patience = new Promise((resolve) => (timer = setTimeout(resolve, 2000)))
    await Promise.race([remove().catch(() => {}), patience])
    clearTimeout(timer)
  }

  #hear(jobId: string, isDone: boolean): void {
    for (const listener of this.#listeners) listener(jobId, isDone)
  }
}

interface Group {
  readonly shards: readonly Shard[]
  readonly keys: readonly string[]
  readonly join: Shard
  readonly joinKey: string
}

async function makeGroups(shards: readonly Shard[]): Promise<Group[]> {
  const groups: Group[] = []
  for (let start = 0; start < shards.length; start += groupSize) {
    const members = shards.slice(start, start + groupSize)
    const keys = await Promise.all(members.map(shardKey))
    const join = joinShard(keys)
    groups.push({ shards: members, keys, join, joinKey: await shardKey(join) })
  }
  return groups
}
