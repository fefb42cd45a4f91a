/**
 * The runner of one machine: threads of this process, no server, and a store in memory.
 */
import { orAborted, type JobsOptions, type JobRunner } from './runner.ts'
import type { Job } from './job.ts'
import { memoryStore } from './job_store.ts'
import { JobThreads, type ThreadSource } from './job_threads.ts'

/** A runner with this number of threads. They start with the first job. */
export function threadRunner(source: ThreadSource, count: number): JobRunner {
  const store = memoryStore()
  const threads = new JobThreads(source, count, store)
  return {
    store,
    examplesPerJob: 1,
    run: (jobs, options) => inOrder(threads, jobs, options),
    async close() {
      await threads.close()
      await store.close()
    },
  }
}

async function* inOrder(
  threads: JobThreads,
  jobs: readonly Job[],
  { signal, onDone }: JobsOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const running: Promise<Uint8Array>[] = []
  let done = 0
  // Each thread has one job queued while another runs; the number of results that wait to be taken is bounded.
  const fill = (taken: number): void => {
    while (running.length < Math.min(jobs.length, taken + 4 * threads.count)) {
      const result = threads.do(jobs[running.length])
      result.then(
        () => onDone?.(++done, jobs.length),
        () => {},
      )
      running.push(result)
    }
  }
  for (let i = 0; i < jobs.length; i++) {
    fill(i)
    yield await orAborted(running[i], signal)
    // Jobs that were started are abandoned.
    running[i] = Promise.resolve(new Uint8Array())
  }
}
