/**
 * The runner that laws compare others with.
 */
import { jobKey, type DoJob } from '../../src/jobs/job.ts'
import { contextOf, type JobRunner } from '../../src/jobs/runner.ts'
import { memoryStore, type JobStore } from '../../src/jobs/job_store.ts'
import { pause } from '../../src/platform/pause.ts'

/** A runner that does everything in this thread, one job after the other. */
export function inlineRunner(work: DoJob, store: JobStore = memoryStore()): JobRunner {
  return {
    store,
    examplesPerJob: 1,
    async *run(jobs, { signal, onDone } = {}) {
      for (const [i, job] of jobs.entries()) {
        await pause(signal)
        const key = await jobKey(job)
        let result = await store.readOrRemove(key)
        if (!result) await store.write(key, (result = await work(job, contextOf(job, store, { signal }))))
        onDone?.(i + 1, jobs.length)
        yield result
      }
    },
    close: () => store.close(),
  }
}
