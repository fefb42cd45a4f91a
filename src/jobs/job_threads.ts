/**
 * Threads that do jobs. Each opens its model once, at its start.
 *
 * A thread requests the files it needs and caches the most recent ones. It does one job at a time. If a thread fails, its
 * job fails too, and a new thread replaces it.
 */
import { listenAsThread, startThread, type Thread, type ThreadCode } from '../platform/platform.ts'
import { packError, unpackError, type PackedError } from '../tensor/packed_error.ts'
import { contextOf } from './runner.ts'
import type { DoJob, Job, JobProgress } from './job.ts'
import type { JobStore } from './job_store.ts'

/** A message to a thread. */
type ToThread =
  | { readonly start: unknown }
  | { readonly job: Job }
  | { readonly file: string; readonly bytes: Uint8Array | null; readonly damaged: PackedError | null }

/** A message of a thread. */
type FromThread =
  | { readonly need: string }
  | { readonly progress: JobProgress }
  | { readonly result: Uint8Array }
  | { readonly failure: PackedError }

/** The code of a thread, which calls `serveJobs`, and its first message. */
export interface ThreadSource {
  readonly code: ThreadCode
  readonly start: unknown
}

interface Waiting {
  readonly job: Job
  readonly onProgress: ((progress: JobProgress) => void) | undefined
  readonly resolve: (result: Uint8Array) => void
  readonly reject: (error: Error) => void
}

interface Worker {
  readonly thread: Thread
  doing: Waiting | null
}

/** See the head of this file. Threads start with the first job. */
export class JobThreads {
  readonly count: number
  readonly #source: ThreadSource
  readonly #store: JobStore
  readonly #workers = new Set<Worker>()
  readonly #waiting: Waiting[] = []
  #closed = false

  /** @param count the maximal number of threads */
  constructor(source: ThreadSource, count: number, store: JobStore) {
    this.#source = source
    this.count = count
    this.#store = store
  }

  /** Does a job as soon as a thread is free. @throws what the work throws; Error if its thread ends */
  do(job: Job, onProgress?: (progress: JobProgress) => void): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new Error('threads: the pool has been closed'))
      this.#waiting.push({ job, onProgress, resolve, reject })
      this.#give()
    })
  }

  /** Ends every thread; active jobs fail. */
  async close(): Promise<void> {
    this.#closed = true
    const workers = [...this.#workers]
    this.#workers.clear()
    const ended = new Error('threads: the pool has been closed')
    for (const { doing } of workers) doing?.reject(ended)
    for (const { reject } of this.#waiting.splice(0)) reject(ended)
    await Promise.all(workers.map(({ thread }) => thread.end()))
  }

  #give(): void {
    while (this.#waiting.length > 0) {
      const free = [...this.#workers].find(({ doing }) => doing === null) ?? this.#start()
      if (!free) return
      const next = this.#waiting.shift() as Waiting
      free.doing = next
      free.thread.send({ job: next.job } satisfies ToThread)
    }
  }

  #start(): Worker | null {
    if (this.#workers.size >= this.count) return null
    const fail = (error: Error): void => {
      if (!this.#workers.delete(worker)) return
      worker.doing?.reject(error)
      void worker.thread.end()
      this.#give()
    }
    const thread = startThread(this.#source.code, {
      onMessage: (message) => this.#hear(worker, message as FromThread),
      onError: fail,
      onEnd: () => fail(new Error('thread: expected a result, but the thread ended')),
    })
    const worker: Worker = { thread, doing: null }
    this.#workers.add(worker)
    thread.send({ start: this.#source.start } satisfies ToThread)
    return worker
  }

  #hear(worker: Worker, message: FromThread): void {
    const { doing } = worker
    if ('need' in message) void this.#bring(worker, message.need)
    else if ('progress' in message) doing?.onProgress?.(message.progress)
    else {
      worker.doing = null
      if ('result' in message) doing?.resolve(message.result)
      else doing?.reject(unpackError(message.failure))
      this.#give()
    }
  }

  async #bring({ thread }: Worker, file: string): Promise<void> {
    let answer: ToThread
    try {
      answer = { file, bytes: await this.#store.readInput(file), damaged: null }
    } catch (error) {
      answer = { file, bytes: null, damaged: packError(error) }
    }
    thread.send(answer)
  }
}

/** Files that a thread caches: the inputs of its last jobs. */
const keptFiles = 16

/**
 * Inside a thread: does the jobs it is given.
 * @param open makes the function that does them, from `ThreadSource.start`
 */
export function serveJobs(open: (start: unknown) => Promise<DoJob>): void {
  let work: Promise<DoJob> | null = null
  const kept = new Map<string, Uint8Array>()
  const asked = new Map<string, (answer: Extract<ToThread, { file: string }>) => void>()
  const stop = new AbortController()
  const say = (message: FromThread): void => send?.(message)
  const files = {
    read(name: string): Promise<Uint8Array | null> {
      const found = kept.get(name)
      if (found) return Promise.resolve(found)
      return new Promise((resolve, reject) => {
        asked.set(name, ({ bytes, damaged }) => {
          asked.delete(name)
          if (damaged) return reject(unpackError(damaged))
          if (bytes) kept.set(name, bytes)
          for (const oldest of kept.keys()) if (kept.size > keptFiles) kept.delete(oldest)
          resolve(bytes)
        })
        say({ need: name })
      })
    },
  }
  const perform = async (job: Job): Promise<void> => {
    try {
      const doJob = await (work as Promise<DoJob>)
      const { signal } = stop
      const context = contextOf(job, files, { onProgress: (progress) => say({ progress }), signal })
      say({ result: await doJob(job, context) })
    } catch (error) {
      say({ failure: packError(error) })
    }
  }
  const hear = (message: unknown): void => {
    const told = message as ToThread
    if ('start' in told) {
      work = open(told.start)
      // The caller of the job gets the error.
      work.catch(() => {})
    } else if ('job' in told) void perform(told.job)
    else asked.get(told.file)?.(told)
  }
  const send = listenAsThread(hear, () => stop.abort())
}
