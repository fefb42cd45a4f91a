/**
 * Threads that run jobs of every kind.
 */
import type { ThreadStart } from '../../jobs/model_threads.ts'
import type { ThreadSource } from '../../jobs/job_threads.ts'

/** Threads that run calibration and evaluation jobs with the model of `start`. */
export function jobThreads(start: ThreadStart): ThreadSource {
  return {
    code: (Worker) => new Worker(new URL('./job_thread.ts', import.meta.url), { type: 'module' }),
    start,
  }
}
