/**
 * A worker: takes shards from a queue and does them, until it is told to stop.
 *
 * Shards are done in threads, so that this one is free to renew their locks however long they take. A worker that dies
 * loses its locks, and its shards go to others. Told to stop, it finishes what it has begun; what takes longer than the
 * grace it is given goes back to the queue. A shard that fails is tried again later, by whoever is free; after the last
 * try it stays in the failed set with its error, and stops nobody.
 */
import type { Job, Worker } from 'bullmq'
import { now } from '../platform/platform.ts'
import { queuePrefix, type QueueTools } from './connection.ts'
import { contextOf } from './runner.ts'
import type { Shard } from './shard.ts'
import { doJoin, isHopeless, joinKind, shardOfJob, type JobData } from './shard_job.ts'
import type { ShardStore } from './shard_store.ts'
import { ShardThreads, type ThreadSource } from './shard_threads.ts'

/** What a worker is made of. */
export interface WorkerOptions {
  readonly tools: QueueTools
  readonly queue: string
  readonly store: ShardStore
  readonly threads: ThreadSource
  /** How many shards at once. */
  readonly concurrency: number
  /** Milliseconds that shards get to finish once `signal` is aborted. */
  readonly grace: number
  /** Milliseconds without work after which it stops by itself; null for never. */
  readonly idle: number | null
  /** Milliseconds after which a worker that is not heard of has lost its shards. Default: 30,000. */
  readonly lock?: number
  readonly signal: AbortSignal
  readonly onEvent?: (event: WorkerEvent) => void
}

/** What happened to a shard. */
export interface WorkerEvent {
  readonly what: 'done' | 'found' | 'failed' | 'returned'
  readonly kind: string
  readonly key: string
  readonly seconds: number
  /** Why it failed. */
  readonly words?: string
}

/** What a worker did. */
export interface WorkerReport {
  readonly done: number
  /** Results that were in the store already. */
  readonly found: number
  readonly failed: number
  readonly returned: number
}

/** How often one shard's worker may die before the shard is held to be the cause. */
const MAX_DEATHS = 25

/** Works until the signal, or until there was nothing to do for long enough. @throws ShardError where the store fails */
export async function runWorker(options: WorkerOptions): Promise<WorkerReport> {
  const { tools, queue, concurrency, signal, lock = 30_000 } = options
  const threads = new ShardThreads(options.threads, concurrency, options.store)
  const connection = tools.connect()
  const taken = new Taken(options, threads)
  const worker: Worker<JobData> = new tools.bullmq.Worker<JobData>(
    queue,
    (job, token) => taken.process(job, token ?? ''),
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
  // The server is away: the worker tries again by itself.
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

/** Thrown inside a job that has to go back. */
class GivenBack extends Error {}

/** The shards a worker has taken, and what became of them. */
class Taken {
  readonly report = { done: 0, found: 0, failed: 0, returned: 0 }
  readonly #options: WorkerOptions
  readonly #threads: ShardThreads
  readonly #givers = new Set<() => void>()
  #isGivingBack = false
  #lastAt = now()
  #wake: ReturnType<typeof setInterval> | undefined

  constructor(options: WorkerOptions, threads: ShardThreads) {
    this.#options = options
    this.#threads = threads
  }

  /** Resolves after nothing was to be done for as long as the options say. */
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

  /** Returns unfinished shards to the queue, and every shard that would start from now on. */
  giveBack(): void {
    this.#isGivingBack = true
    for (const give of this.#givers) give()
  }

  end(): void {
    clearInterval(this.#wake)
  }

  async process(job: Job<JobData>, token: string): Promise<void> {
    const started = now()
    const tell = (what: WorkerEvent['what'], kind: string, key: string, words?: string): void => {
      this.#lastAt = now()
      this.report[what]++
      this.#options.onEvent?.({ what, kind, key, seconds: (now() - started) / 1000, words })
    }
    let kind = 'unknown'
    let key = ''
    try {
      const found = await shardOfJob(job.id, job.data)
      kind = found.shard.kind
      key = found.key
      tell(await this.#work(found.shard, key, job), kind, key)
    } catch (error) {
      if (error instanceof GivenBack) {
        await job.moveToWait(token)
        tell('returned', kind, key)
        throw new this.#options.tools.bullmq.WaitingError()
      }
      const { message } = error as Error
      tell('failed', kind, key, message)
      if (isHopeless(error)) throw new this.#options.tools.bullmq.UnrecoverableError(message)
      throw error
    }
  }

  async #work(shard: Shard, key: string, job: Job<JobData>): Promise<'done' | 'found'> {
    const { store } = this.#options
    if ((await store.readOrRemove(key)) !== null) return 'found'
    const isJoin = shard.kind === joinKind
    const result = isJoin ? await doJoin(shard, contextOf(shard, store)) : await this.#inThread(shard, job)
    await store.write(key, result)
    return 'done'
  }

  async #inThread(shard: Shard, job: Job<JobData>): Promise<Uint8Array> {
    // The grace period may have ended during the look-up in the store.
    if (this.#isGivingBack) throw new GivenBack()
    let give = (): void => {}
    const givenBack = new Promise<never>((_, reject) => (give = () => reject(new GivenBack())))
    let toldAt = now()
    const onProgress = (progress: object): void => {
      if (now() - toldAt < 1000) return
      toldAt = now()
      // Who looks on is not worth a failure.
      job.updateProgress(progress).catch(() => {})
    }
    this.#givers.add(give)
    try {
      return await Promise.race([this.#threads.do(shard, onProgress), givenBack])
    } finally {
      this.#givers.delete(give)
    }
  }
}
