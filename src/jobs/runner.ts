/**
 * Who does shards: threads of this process, or workers anywhere that take them from a queue. The code above is the same:
 * it asks for shards and is given their results in the order it asked, so that what is made of them cannot depend on
 * how many do the work or who is first.
 */
import { refusal } from '../io/refusal.ts'
import type { Shard, ShardContext } from './shard.ts'
import type { ShardStore } from './shard_store.ts'

/** What a run of shards listens to and tells. */
export interface RunOptions {
  readonly signal?: AbortSignal
  /** How many of the shards are done, in whatever order. */
  readonly onShard?: (done: number, total: number) => void
}

/** See the head of this file. */
export interface ShardRunner {
  /** Where the files of shards are put before they are asked for. */
  readonly store: ShardStore
  /** How many examples make a good shard: few where handing one over costs little. */
  readonly examplesPerShard: number
  /**
   * The results of shards, in their order. Leaving the loop stops the rest.
   * @throws ShardsFailed after all others are done; ShardError where the way to them is lost; the signal's reason
   */
  run(shards: readonly Shard[], options?: RunOptions): AsyncGenerator<Uint8Array, void, void>
  /** Ends threads and connections. The results that are in the store stay. */
  close(): Promise<void>
}

/** What a shard's files are read through. */
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

/** What a promise gives, unless the signal is aborted first. @throws the signal's reason */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  // Whoever is not waited for any more may fail unheard.
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
