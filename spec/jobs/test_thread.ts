/**
 * The thread of test_shards.ts.
 */
import { serveShards } from '../../src/jobs/shard_threads.ts'
import { doTestShard } from './test_shards.ts'

serveShards(async () => doTestShard)
