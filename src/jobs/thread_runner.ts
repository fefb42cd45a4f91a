/**
 * The runner of one machine: threads of this process, no server, and a store in memory.
 */
import { orAborted, type RunOptions, type ShardRunner } from './runner.ts'
import type { Shard } from './shard.ts'
import { memoryStore, type ShardStore } from './shard_store.ts'
import { ShardThreads, type ThreadSource } from './shard_threads.ts'

/** A runner with this number of threads. They start with the first shard. */
export function threadRunner(
  source: ThreadSource,
  count: number,
  store: ShardStore = memoryStore(),
): ShardRunner {
  const threads = new ShardThreads(source, count, store)
  return {
    store,
    examplesPerShard: 1,
    run: (shards, options) => inOrder(threads, shards, options),
    async close() {
      await threads.close()
      await store.close()
    },
  }
}

async function* inOrder(
  threads: ShardThreads,
  shards: readonly Shard[],
  { signal, onShard }: RunOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const running: Promise<Uint8Array>[] = []
  let done = 0
  // Each thread has one shard queued while another runs; the number of results that wait to be taken is bounded.
  const fill = (taken: number): void => {
    while (running.length < Math.min(shards.length, taken + 4 * threads.count)) {
      const result = threads.do(shards[running.length])
      result.then(
        () => onShard?.(++done, shards.length),
        () => {},
      )
      running.push(result)
    }
  }
  for (let i = 0; i < shards.length; i++) {
    fill(i)
    yield await orAborted(running[i], signal)
    // Shards that were started are abandoned.
    running[i] = Promise.resolve(new Uint8Array())
  }
}
