/**
 * The law of a runner's results, for one thread and for a queue.
 */
import { expect } from 'vitest'
import type { Job } from '../../src/jobs/job.ts'
import { texts } from './test_jobs.ts'

/** Expects the known results of jobs, in the order of the jobs. */
export const isInOrder = async (
  run: (jobs: readonly Job[]) => AsyncIterable<Uint8Array>,
  jobs: readonly Job[],
  expected: readonly string[],
): Promise<void> => expect(await texts(run(jobs))).toEqual(expected)
