/**
 * The thread of a worker (threads.ts): it runs jobs of every kind.
 */
import { serveModel } from '../../jobs/serve_model.ts'
import { makeDoJob } from './do_job.ts'

serveModel(makeDoJob)
