/**
 * The thread of a worker (threads.ts): it runs jobs of every kind.
 */
import { serveModel } from '../../jobs/serve_model.ts'
import { makeDoShard } from './do_shard.ts'

serveModel(makeDoShard)
