/**
 * What needs no server: the names of queues, and that results are compared in order.
 */
import { expect, test } from 'vitest'
import { inlineRunner } from './inline_runner.ts'
import type { Job } from '../../src/jobs/job.ts'
import { queueName } from '../../src/jobs/queued_job.ts'
import { isInOrder } from './order.ts'
import { doTestJob, echoJobs } from './test_jobs.ts'

test('results in another order, or with one left out, are found', async () => {
  const runner = inlineRunner(doTestJob)
  const { jobs, expected } = await echoJobs(runner.store, 5)
  await isInOrder((asked) => runner.run(asked), jobs, expected)
  for (const change of [(all: readonly Job[]) => all.toReversed(), (all: readonly Job[]) => all.slice(1)])
    await expect(isInOrder((asked) => runner.run(change(asked)), jobs, expected)).rejects.toThrow('expected')
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
