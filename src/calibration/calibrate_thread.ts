/**
 * The thread of `calibrateToFolder`: it runs calibration jobs.
 */
import { serveModel } from '../jobs/serve_model.ts'
import { doCalibrate } from './calibrate_job.ts'

serveModel((model) => (job, context) => doCalibrate(job, context, model))
