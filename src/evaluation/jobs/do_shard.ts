/**
 * Every kind of shard, done with one model.
 */
import { refusal } from '../../io/refusal.ts'
import type { DoShard } from '../../jobs/shard.ts'
import { askKind, doAsk } from './ask.ts'
import { calibrateKind, doCalibrate } from '../../calibration/calibrate_job.ts'
import { doScore, scoreKind } from './score.ts'
import type { ShardModel } from '../../jobs/shard_model.ts'

/** What does shards with this model. */
export function makeDoShard(model: ShardModel): DoShard {
  return (shard, context) => {
    if (shard.kind === calibrateKind) return doCalibrate(shard, context, model)
    if (shard.kind === scoreKind) return doScore(shard, context, model)
    if (shard.kind === askKind) return doAsk(shard, context, model)
    throw refusal('SHARD_FORMAT', 'shard kind', `${calibrateKind}, ${scoreKind} or ${askKind}`, shard.kind)
  }
}
