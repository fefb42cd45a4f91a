/**
 * A worker: takes jobs from a queue and does them until it is stopped.
 *
 * Jobs run in threads, so that the main thread can renew their locks however long they take. If a worker dies, its locks
 * expire and its jobs go to other workers. On a stop the worker finishes its active jobs; those that need more than
 * the grace period return to the queue. A job that fails is retried later by any worker. After the last attempt it stays
 * in the failed set with its error, and other jobs continue.
 */
import type { Job as QueuedJob, Worker } from 'bullmq'
import { now } from '../platform/platform.ts'
import { queuePrefix, type QueueTools } from './connection.ts'
import { contextOf } from './runner.ts'
import type { Job } from './job.ts'
import { doJoin, isHopeless, joinKind, parseQueuedJob, type JobData } from './queued_job.ts'
import type { JobStore } from './job_store.ts'
import { JobThreads, type ThreadSource } from './job_threads.ts'

/** Options of a worker. */
export interface WorkerOptions {
  readonly tools: QueueTools
  readonly queue: string
  readonly store: JobStore
  readonly threads: ThreadSource
  /** How many jobs run at once. */
  readonly concurrency: number
  /** The grace period, in milliseconds: how long active jobs may run once `signal` is aborted. */
  readonly grace: number
  /** Milliseconds without work after which the worker stops; null for never. */
  readonly idle: number | null
  /** Milliseconds after which the lock of a job expires if it is not renewed. Default: 30,000. */
  readonly lock?: number
  readonly signal: AbortSignal
  readonly onEvent?: (event: WorkerEvent) => void
}

/** An event of a job. */
export interface WorkerEvent {
  /** `found`: the result was in the store already. */
  readonly what: 'done' | 'found' | 'failed' | 'returned'
  readonly kind: string
  readonly key: string
  readonly seconds: number
  /** Why it failed. */
  readonly words?: string
}

/** How many jobs of a finished worker had each event. */
export type WorkerReport = Readonly<Record<WorkerEvent['what'], number>>

/** After so many dead workers a job is considered the cause and fails. */
const MAX_DEATHS = 25

/** Runs until the signal, or until the worker was idle for long enough. @throws JobError if the store fails */
export async function runWorker(options: WorkerOptions): Promise<WorkerReport> {
  const { tools, queue, concurrency, signal, lock = 30_000 } = options
  const threads = new JobThreads(options.threads, concurrency, options.store)
  const connection = tools.connect()
  const taken = new Taken(options, threads)
  const worker: Worker<JobData> = new tools.bullmq.Worker<JobData>(
    queue,
    (queued, token) => taken.process(queued, token ?? ''),
    {
      connection,
      prefix: queuePrefix,
      concurrency,
      lockDuration: lock,
      stalledInterval: lock,
      maxStalledCount: MAX_DEATHS,
      metrics: { maxDataPoints: 60 },
      autorun: false,
    },
  )
  // The server is unreachable: the worker reconnects by itself.
  worker.on('error', () => {})
  try {
    const running = worker.run()
    await Promise.race([taken.untilIdle(), aborted(signal), running])
    const grace = setTimeout(() => taken.giveBack(), options.grace)
    await worker.close()
    clearTimeout(grace)
    await running
  } finally {
    taken.end()
    await threads.close()
    connection.disconnect()
  }
  return taken.report
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Thrown inside a job to return it to the queue. */
class GivenBack extends Error {}

/** The jobs a worker has taken, and their state. */
class Taken {
  readonly report = { done: 0, found: 0, failed: 0, returned: 0 }
  readonly #options: WorkerOptions
  readonly #threads: JobThreads
  readonly #givers = new Set<() => void>()
  #isGivingBack = false
  #lastAt = now()
  #wake: ReturnType<typeof setInterval> | undefined

  constructor(options: WorkerOptions, threads: JobThreads) {
    this.#options = options
    this.#threads = threads
  }

  /** Resolves once the worker was idle for the time of the options. */
  untilIdle(): Promise<void> {
    const { idle } = this.#options
    return new Promise((resolve) => {
      if (idle === null) return
      this.#wake = setInterval(
        () => {
          if (this.#givers.size === 0 && now() - this.#lastAt >= idle) resolve()
        },
        Math.min(1000, idle / 4),
      )
    })
  }

  /** Returns unfinished jobs to the queue, and every job that would start from now on. */
  giveBack(): void {
    this.#isGivingBack = true
    for (const give of this.#givers) give()
  }

  end(): void {
    clearInterval(this.#wake)
  }

  async process(queued: QueuedJob<JobData>, token: string): Promise<void> {
    const started = now()
    const tell = (what: WorkerEvent['what'], kind: string, key: string, words?: string): void => {
      this.#lastAt = now()
      this.report[what]++
      this.#options.onEvent?.({ what, kind, key, seconds: (now() - started) / 1000, words })
    }
    let kind = 'unknown'
    let key = ''
    try {
      const found = await parseQueuedJob(queued.id, queued.data)
      kind = found.job.kind
      key = found.key
      tell(await this.#work(found.job, key, queued), kind, key)
    } catch (error) {
      if (error instanceof GivenBack) {
        await queued.moveToWait(token)
        tell('returned', kind, key)
        throw new this.#options.tools.bullmq.WaitingError()
      }
      const { message } = error as Error
      tell('failed', kind, key, message)
      if (isHopeless(error)) throw new this.#options.tools.bullmq.UnrecoverableError(message)
      throw error
    }
  }

  async #work(job: Job, key: string, queued: QueuedJob<JobData>): Promise<'done' | 'found'> {
    const { store } = this.#options
    if ((await store.readOrRemove(key)) !== null) return 'found'
    const isJoin = job.kind === joinKind
    const result = isJoin ? await doJoin(job, contextOf(job, store)) : await this.#inThread(job, queued)
    await store.write(key, result)
    return 'done'
  }

  async #inThread(job: Job, queued: QueuedJob<JobData>): Promise<Uint8Array> {
    // The grace period may have ended during the look-up in the store.
    if (this.#isGivingBack) throw new GivenBack()
    let give = (): void => {}
    const givenBack = new Promise<never>((_, reject) => (give = () => reject(new GivenBack())))
    let toldAt = now()
    const onProgress = (progress: object): void => {
      if (now() - toldAt < 1000) return
      toldAt = now()
      // An error of a listener must not fail the job.
      queued.updateProgress(progress).catch(() => {})
    }
    this.#givers.add(give)
    try {
      return await Promise.race([this.#threads.do(job, onProgress), givenBack])
    } finally {
      this.#givers.delete(give)
    }
  }
}
