/**
 * Runners: they do shards in threads of this process, or through a queue on workers anywhere. A runner returns the results
 * in the order of the shards, so that what is computed from them cannot depend on the number of workers or their speed.
 */
import { refusal } from '../io/refusal.ts'
import type { Shard, ShardContext } from './shard.ts'
import type { ShardStore } from './shard_store.ts'

/** Options of a run. */
export interface RunOptions {
  readonly signal?: AbortSignal
  /** Called with the number of done shards; they finish in any order. */
  readonly onShard?: (done: number, total: number) => void
}

/** See the head of this file. */
export interface ShardRunner {
  /** Holds the files of shards and their results. */
  readonly store: ShardStore
  /** The recommended number of examples per shard: few if the overhead of a shard is small. */
  readonly examplesPerShard: number
  /**
   * The results of shards, in their order. Leaving the loop cancels the rest.
   * @throws ShardsFailed after all other shards are done; ShardError if the queue or the store is lost; the signal's reason
   */
  run(shards: readonly Shard[], options?: RunOptions): AsyncGenerator<Uint8Array, void, void>
  /** Ends threads and connections. The results that are in the store stay. */
  close(): Promise<void>
}

/** The context of a shard: reads its files from a store. */
export function contextOf(
  { files }: Shard,
  store: Pick<ShardStore, 'read'>,
  rest: Omit<ShardContext, 'read'> = {},
): ShardContext {
  return {
    ...rest,
    async read(name) {
      const found = Object.hasOwn(files, name) ? await store.read(files[name]) : null
      if (found) return found
      throw refusal('SHARD_FILE', `shard file ${name}`, 'a file in the store', 'none')
    },
  }
}

/** The value of a promise, unless the signal is aborted first. @throws the signal's reason */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  // A rejection after an abort must not count as unhandled.
  promise.catch(() => {})
  if (!signal) return promise
  signal.throwIfAborted()
  let onAbort = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort)
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
