/**
 * The runner over a queue: workers anywhere do the jobs, and their results are read from the store.
 *
 * Only the store counts. The queue distributes work, and may lose or repeat it: a restarted server may have lost its last
 * second, and a worker may die after it has written a result. So a job is done when its result is in the store. A job
 * that is neither in the store nor in the queue is queued again. A job that is done twice has one result, because the
 * name of a result is the hash of the job.
 *
 * Jobs are queued in groups. Each group has a parent job in BullMQ that joins its results into one file, so that one
 * file is fetched instead of many. If that job fails or is lost, the results are fetched one by one.
 */
import type { FlowProducer, Job as QueuedJob, Queue, QueueEvents } from 'bullmq'
import { queuePrefix, type QueueTools } from './connection.ts'
import { orAborted, type JobsOptions, type JobRunner } from './runner.ts'
import { jobKey, type Job } from './job.ts'
import { JobsFailed } from './job_error.ts'
import { jobData, jobIdOf, jobOptions, joinJob, splitJoined, type JobData } from './queued_job.ts'
import type { JobStore } from './job_store.ts'
import type { Redis } from 'ioredis'

/** Options of a runner over a queue. */
interface QueueRunnerOptions {
  readonly tools: QueueTools
  readonly queue: string
  readonly store: JobStore
  /** Attempts per job. Default: 3. */
  readonly attempts?: number
  /** Milliseconds between two checks of the store when the queue sends no event. Default: 1000. */
  readonly every?: number
}

/** Jobs that one job joins. */
const groupSize = 16
/** Groups that are queued ahead of the one whose results are awaited. */
const groupsAhead = 64

/** See the head of this file. */
export class QueueRunner implements JobRunner {
  readonly store: JobStore
  readonly examplesPerJob = 8
  readonly #options: QueueRunnerOptions
  readonly #attempts: number
  readonly #connection: Redis
  readonly #queue: Queue<JobData>
  readonly #flows: FlowProducer
  readonly #events: QueueEvents
  /** Called on every event of a job. */
  readonly #listeners = new Set<(jobId: string, isDone: boolean) => void>()

  constructor(options: QueueRunnerOptions) {
    this.#options = options
    this.#attempts = options.attempts ?? 3
    this.store = options.store
    const { bullmq } = options.tools
    this.#connection = options.tools.connect()
    const base = { connection: this.#connection, prefix: queuePrefix }
    this.#queue = new bullmq.Queue<JobData>(options.queue, base)
    this.#flows = new bullmq.FlowProducer(base)
    this.#events = new bullmq.QueueEvents(options.queue, base)
    // The server is unreachable: these clients reconnect by themselves.
    this.#queue.on('error', () => {})
    this.#flows.on('error', () => {})
    this.#events.on('error', () => {})
    this.#events.on('completed', ({ jobId }) => this.#hear(jobId, true))
    this.#events.on('failed', ({ jobId }) => this.#hear(jobId, false))
  }

  /** How many workers are connected. */
  workers(): Promise<number> {
    return this.#queue.getWorkersCount()
  }

  async *run(
    jobs: readonly Job[],
    { signal, onDone }: JobsOptions = {},
  ): AsyncGenerator<Uint8Array, void, void> {
    const groups = await makeGroups(jobs)
    const done = new Set<string>()
    const keyOf = new Map(groups.flatMap(({ keys }) => keys.map((key) => [jobIdOf(key), key])))
    const note = (keys: Iterable<string>): void => {
      const before = done.size
      for (const key of keys) done.add(key)
      if (done.size > before) onDone?.(done.size, jobs.length)
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
        const coming = this.#resultsOf(group, failures, () => !signal?.aborted)
        const results = await orAborted(coming, signal)
        note(group.keys)
        if (failures.size === 0) yield* results
      }
    } finally {
      this.#listeners.delete(onJob)
      if (done.size < jobs.length) await this.#takeBack(groups.slice(0, asked), done, asking)
    }
    if (failures.size > 0) throw new JobsFailed(failures, jobs.length)
  }

  async close(): Promise<void> {
    // Without a server there is no connection to close.
    this.#connection.disconnect()
    await Promise.allSettled([this.#queue.close(), this.#flows.close(), this.#events.close()])
    await this.store.close()
  }

  /** Queues the jobs of a group that have no result yet. Jobs that failed in an earlier run are tried again. */
  async #ask({ jobs, keys, join, joinKey }: Group): Promise<void> {
    const open: number[] = []
    for (const [i, key] of keys.entries()) if (!(await this.store.has(key))) open.push(i)
    if (open.length === 0) return
    for (const key of [...open.map((i) => keys[i]), joinKey]) {
      const queued = await this.#jobOf(key)
      if (queued && (await queued.isFailed())) await queued.remove()
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
        name: jobs[i].kind,
        queueName,
        prefix: queuePrefix,
        data: jobData(jobs[i]),
        // A job that failed on its last attempt fails the join; the others are still done.
        opts: { ...jobOptions(keys[i], attempts), failParentOnFailure: true },
      })),
    })
  }

  /**
   * The results of a group, as soon as each job is done or has failed. Failed jobs have no result and are added to
   * `failures`.
   * @param isWanted false once the results are no longer wanted
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

  /** The results one by one; null while a result may still come. */
  async #singleResults(
    { jobs, keys }: Group,
    failures: Map<string, string>,
    isWanted: () => boolean,
  ): Promise<Uint8Array[] | null> {
    let isWhole = true
    for (const [i, key] of keys.entries()) {
      if (failures.has(key) || (await this.store.has(key))) continue
      const failed = await this.#failureOf(jobs[i], key, isWanted)
      if (failed === null) isWhole = false
      else failures.set(key, failed)
    }
    if (!isWhole) return null
    const results: Uint8Array[] = []
    for (const key of keys) {
      if (failures.has(key)) continue
      const result = await this.store.readOrRemove(key)
      // It was damaged and is computed again.
      if (!result) return null
      results.push(result)
    }
    return results
  }

  /** Why a job without a result has failed; null if it has not. A job that the queue has lost is queued again. */
  async #failureOf(job: Job, key: string, isWanted: () => boolean): Promise<string | null> {
    const queued = await this.#jobOf(key)
    if (queued && (await queued.isFailed())) return queued.failedReason || 'no reason given'
    const isComing = queued && !(await queued.isCompleted())
    if (isComing || (await this.store.has(key))) return null
    if (queued) await queued.remove().catch(() => {})
    // After an abort the missing jobs are those that were removed from the queue.
    if (isWanted()) await this.#queue.add(job.kind, jobData(job), jobOptions(key, this.#attempts))
    return null
  }

  async #jobOf(key: string): Promise<QueuedJob<JobData> | null> {
    return (await this.#queue.getJob(jobIdOf(key))) ?? null
  }

  /** Resolves on an event of one of these jobs, or after the interval. */
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
   * Removes jobs that are no longer wanted from the queue. Active jobs finish, and their results stay in the store. It does
   * not wait for a server that does not respond.
   * @param asking settles when the last group is in the queue
   */
  async #takeBack(groups: readonly Group[], done: ReadonlySet<string>, asking: Promise<void>): Promise<void> {
    const remove = async (): Promise<void> => {
      await asking.catch(() => {})
      for (const { keys, joinKey } of groups)
        for (const key of [joinKey, ...keys]) {
          if (done.has(key)) continue
          const queued = await this.#jobOf(key)
          // An active job is locked.
          if (queued && !(await queued.isFailed())) await queued.remove().catch(() => {})
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
  readonly jobs: readonly Job[]
  readonly keys: readonly string[]
  readonly join: Job
  readonly joinKey: string
}

async function makeGroups(jobs: readonly Job[]): Promise<Group[]> {
  const groups: Group[] = []
  for (let start = 0; start < jobs.length; start += groupSize) {
    const members = jobs.slice(start, start + groupSize)
    const keys = await Promise.all(members.map(jobKey))
    const join = joinJob(keys)
    groups.push({ jobs: members, keys, join, joinKey: await jobKey(join) })
  }
  return groups
}
