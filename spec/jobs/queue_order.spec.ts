/**
 * What needs no server: the names of queues, and that results are compared in order.
 */
import { expect, test } from 'vitest'
import { inlineRunner } from './inline_runner.ts'
import type { Shard } from '../../src/jobs/shard.ts'
import { queueName } from '../../src/jobs/shard_job.ts'
import { isInOrder } from './order.ts'
import { doTestShard, echoShards } from './test_shards.ts'

test('results in another order, or with one left out, are found', async () => {
  const runner = inlineRunner(doTestShard)
  const { shards, expected } = await echoShards(runner.store, 5)
  await isInOrder((asked) => runner.run(asked), shards, expected)
  for (const change of [(all: readonly Shard[]) => all.toReversed(), (all: readonly Shard[]) => all.slice(1)])
    await expect(isInOrder((asked) => runner.run(change(asked)), shards, expected)).rejects.toThrow(
      'expected',
    )
})

test('only runs of the same model, method and bits share a queue', () => {
  const one = { model: 'a'.repeat(64), method: 'b'.repeat(64), bits: 'exact' }
  const names = [
    one,
    { ...one, model: 'c'.repeat(64) },
    { ...one, method: 'c'.repeat(64) },
    { ...one, bits: 'wasm-relaxed' },
  ].map(queueName)
  expect(new Set(names).size).toBe(4)
})
