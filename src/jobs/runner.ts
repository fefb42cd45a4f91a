/**
 * Runners: they do jobs in threads of this process, or through a queue on workers anywhere. A runner returns the results
 * in the order of the jobs, so that what is computed from them cannot depend on the number of workers or their speed.
 */
import { refusal } from '../io/refusal.ts'
import type { Job, JobContext } from './job.ts'
import type { JobStore } from './job_store.ts'

/** Options of a run. */
export interface JobsOptions {
  /** Ends the run; the call then throws its reason. */
  readonly signal?: AbortSignal
  /** Called with the number of done jobs; they finish in any order. */
  readonly onDone?: (done: number, total: number) => void
}

/** See the head of this file. */
export interface JobRunner {
  /** Holds the files of jobs and their results. */
  readonly store: JobStore
  /** The recommended number of examples per job: few if the overhead of a job is small. */
  readonly examplesPerJob: number
  /**
   * The results of jobs, in their order. Leaving the loop cancels the rest.
   * @param jobs what is to be computed, as its files and its options
   * @throws JobsFailed after all other jobs are done; JobError if the queue or the store is lost; the signal's reason
   */
  run(jobs: readonly Job[], options?: JobsOptions): AsyncGenerator<Uint8Array, void, void>
  /** Ends threads and connections. The results that are in the store stay. */
  close(): Promise<void>
}

/** The context of a job: reads its files from a store. */
export function contextOf(
  { files }: Job,
  store: Pick<JobStore, 'read'>,
  rest: Omit<JobContext, 'read'> = {},
): JobContext {
  return {
    ...rest,
    async read(name) {
      const found = Object.hasOwn(files, name) ? await store.read(files[name]) : null
      if (found) return found
      throw refusal('SHARD_FILE', `job file ${name}`, 'a file in the store', 'none')
    },
  }
}

/** The value of a promise, unless the signal is aborted first. @throws the signal's reason */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  // A rejection after an abort must not count as unhandled.
  promise.catch(() => {})
  if (!signal) return promise
  signal.throwIfAborted()
  let onAbort = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort)
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
