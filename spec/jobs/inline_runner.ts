/**
 * The runner that laws compare others with.
 */
import { shardKey, type DoShard } from '../../src/jobs/shard.ts'
import { contextOf, type ShardRunner } from '../../src/jobs/runner.ts'
import { memoryStore, type ShardStore } from '../../src/jobs/shard_store.ts'
import { pause } from '../../src/platform/pause.ts'

/** A runner that does everything in this thread, one shard after the other. */
export function inlineRunner(work: DoShard, store: ShardStore = memoryStore()): ShardRunner {
  return {
    store,
    examplesPerShard: 1,
    async *run(shards, { signal, onShard } = {}) {
      for (const [i, shard] of shards.entries()) {
        await pause(signal)
        const key = await shardKey(shard)
        let result = await store.readOrRemove(key)
        if (!result) await store.write(key, (result = await work(shard, contextOf(shard, store, { signal }))))
        onShard?.(i + 1, shards.length)
        yield result
      }
    },
    close: () => store.close(),
  }
}
