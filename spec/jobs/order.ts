/**
 * The law of a runner's results, for one thread and for a queue.
 */
import { expect } from 'vitest'
import type { Shard } from '../../src/jobs/shard.ts'
import { texts } from './test_shards.ts'

/** Expects the known results of shards, in the order of the shards. */
export const isInOrder = async (
  run: (shards: readonly Shard[]) => AsyncIterable<Uint8Array>,
  shards: readonly Shard[],
  expected: readonly string[],
): Promise<void> => expect(await texts(run(shards))).toEqual(expected)
