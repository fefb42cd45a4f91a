/**
 * Helper threads of the calling thread: it opens a job, computes parts of it as the helpers do, and returns when all parts
 * are finished.
 *
 * The calling thread never sleeps, because a page may not; it waits only for parts that helpers have begun. Until the helpers
 * have started, and after one of them has failed, the caller computes alone.
 */
import { now, relax, startThread, type Thread, type ThreadCode } from '../../platform/platform.ts'
import { MissingError } from '../../tensor/errors.ts'
import type { KernelFunction } from '../calls.ts'
import { WorkQueue, makeQueueMemory, runPart, type Job } from './work_queue.ts'
import type { ThreadSetup } from './thread_worker.ts'

/** A part that another thread has begun is given up after this many times what the call has taken so far, and this long. */
const PATIENCE = { times: 100, least: 60_000 } // ms

/** Looks between two looks at the clock. */
const LOOKS = 1000

const helper: ThreadCode = (Worker) =>
  new Worker(new URL('./thread_worker.ts', import.meta.url), { type: 'module' })

/** The state that the helpers share. */
export interface PoolSetup extends Omit<ThreadSetup, 'queue' | 'scratchStart'> {
  /** Where each of them has its scratch. */
  readonly scratchStarts: readonly number[]
}

/** Helpers over one memory, started at once; give them back with `end`. */
export class ThreadPool {
  /** Resolves when the helpers look for jobs, or have failed to start. */
  readonly ready: Promise<void>
  readonly #queue: WorkQueue
  readonly #threads: readonly Thread[]
  #ending: Promise<unknown> | null = null
  #onReady = (): void => {}
  #helped = 0

  /** @param makeQueue how the owner looks at the queue; laws pass worse ones */
  constructor(
    { scratchStarts, ...common }: PoolSetup,
    makeQueue = (memory: SharedArrayBuffer) => new WorkQueue(memory),
  ) {
    const queue = makeQueueMemory()
    this.#queue = makeQueue(queue)
    this.ready = new Promise((resolve) => (this.#onReady = resolve))
    let started = 0
    // A helper says one thing: that it looks for jobs.
    const onMessage = (): void => {
      if (++started < scratchStarts.length || this.#ending !== null) return
      // The process is kept alive while they are on their way; now it may end when it has nothing else to do.
      for (const thread of this.#threads) thread.release()
      this.#onReady()
    }
    const onEnd = (): void => void this.end()
    this.#threads = scratchStarts.map((scratchStart) => {
      const thread = startThread(helper, { onMessage, onError: onEnd, onEnd })
      thread.send({ ...common, scratchStart, queue } satisfies ThreadSetup)
      return thread
    })
  }

  /** How many help by now. */
  get helpers(): number {
    // Asked of the queue, since messages wait while the caller computes.
    return this.#ending === null ? this.#queue.arrived : 0
  }

  /** How many parts they have computed. */
  get helped(): number {
    return this.#helped
  }

  /**
   * Computes a job, with the kernel it names here.
   * @throws MissingError BACKEND_THREAD if a part was begun by a thread that failed: the numbers it was to write are lost
   */
  run(job: Job, kernel: KernelFunction<number>): void {
    const queue = this.#queue
    const start = now()
    queue.write(job)
    queue.open(job.parts)
    let own = 0
    let failure: { readonly cause: unknown } | null = null
    for (let word = queue.look(); WorkQueue.hasParts(word); word = queue.look()) {
      const left = queue.take(word)
      if (left < 0) continue
      own++
      // After a failure nobody computes the rest.
      failure ??= attempt(kernel, job, job.parts - 1 - left)
    }
    // Also after a failure, so that no helper writes when the call is over.
    const isWhole = this.#await(job.parts - own, start)
    this.#helped += job.parts - own
    if (failure === null && isWhole) return
    void this.end()
    if (failure !== null) throw failure.cause
    throw new MissingError(
      'BACKEND_THREAD',
      'backend wasm: expected every thread to finish its part of a call, got one that failed',
    )
  }

  /** Ends the helpers; there are none from now on. Resolves when they have ended, in a browser at once. */
  end(): Promise<unknown> {
    if (this.#ending === null) {
      this.#queue.end()
      this.#ending = Promise.all(this.#threads.map((thread) => thread.end()))
      this.#onReady()
    }
    return this.#ending
  }

  /** Waits for the parts of helpers. @returns whether all were computed */
  #await(parts: number, start: number): boolean {
    let due = 0
    for (let looks = 1; !this.#queue.isSettled(parts); looks++) {
      relax()
      if (looks % LOOKS > 0) continue
      const time = now()
      due ||= time + Math.max(PATIENCE.least, PATIENCE.times * (time - start))
      if (time > due) return false
    }
    return !this.#queue.isBroken
  }
}

/** Computes a part. @returns what it threw, if it failed */
function attempt(kernel: KernelFunction<number>, job: Job, part: number): { readonly cause: unknown } | null {
  try {
    runPart(kernel, job, part)
    return null
  } catch (cause) {
    return { cause }
  }
}
