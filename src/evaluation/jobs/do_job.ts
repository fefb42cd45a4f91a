/**
 * Every kind of job, done with one model.
 */
import { refusal } from '../../io/refusal.ts'
import type { DoJob } from '../../jobs/job.ts'
import { calibrateKind, doCalibrate } from '../../calibration/calibrate_job.ts'
import { doEvaluate, evaluateKinds } from './evaluate_job.ts'
import type { JobModel } from '../../jobs/job_model.ts'

/** The function that does jobs of every kind with this model. */
export function makeDoJob(model: JobModel): DoJob {
  return (job, context) => {
    if (job.kind === calibrateKind) return doCalibrate(job, context, model)
    if (evaluateKinds.some((kind) => kind === job.kind)) return doEvaluate(job, context, model)
    throw refusal('SHARD_FORMAT', 'job kind', `${calibrateKind}, ${evaluateKinds.join(' or ')}`, job.kind)
  }
}
