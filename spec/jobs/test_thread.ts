/**
 * The thread of test_jobs.ts.
 */
import { serveJobs } from '../../src/jobs/job_threads.ts'
import { doTestJob } from './test_jobs.ts'

serveJobs(async () => doTestJob)
