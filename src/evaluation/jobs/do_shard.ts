/**
 * Every kind of shard, done with one model.
 */
import { refusal } from '../../io/refusal.ts'
import type { DoShard } from '../../jobs/shard.ts'
import { calibrateKind, doCalibrate } from '../../calibration/calibrate_job.ts'
import { doEvaluate, evaluateKinds } from './evaluate_job.ts'
import type { ShardModel } from '../../jobs/shard_model.ts'

/** What does shards with this model. */
export function makeDoShard(model: ShardModel): DoShard {
  return (shard, context) => {
    if (shard.kind === calibrateKind) return doCalibrate(shard, context, model)
    if (evaluateKinds.some((kind) => kind === shard.kind)) return doEvaluate(shard, context, model)
    throw refusal('SHARD_FORMAT', 'shard kind', `${calibrateKind}, ${evaluateKinds.join(' or ')}`, shard.kind)
  }
}
