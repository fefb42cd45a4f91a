/**
 * The thread of `calibrateToFolder`: it runs calibration jobs.
 */
import { serveModel } from '../jobs/serve_model.ts'
import { doCalibrate } from './calibrate_job.ts'
import { allowWideIfAsked } from '../testing/wide_trial.ts'

allowWideIfAsked()
serveModel((model) => (job, context) => doCalibrate(job, context, model))
