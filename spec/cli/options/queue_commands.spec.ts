/**
 * The flags of the commands that use a queue have a visible effect, and work in jobs gives the results of work without a
 * queue. Stand-ins replace the queue: they record their calls and compute jobs in this thread.
 *
 * Tests src/cli/queue_flags.ts.
 */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { ThreadStart } from '../../../src/jobs/model_threads.ts'
import type { QueueAddress } from '../../../src/jobs/connection.ts'
import type { QueueState } from '../../../src/jobs/queue_state.ts'
import type { WorkerOptions } from '../../../src/jobs/queue_worker.ts'
import type { JobRunner } from '../../../src/jobs/runner.ts'
import type { DoJob } from '../../../src/jobs/job.ts'
import type { JobStore } from '../../../src/jobs/job_store.ts'
import type { ShadowModel } from '../../../src/library/shadow_model.ts'
import { calibrateQueue, evalQueue, queueTables } from './queue_rows.ts'
import { argumentsOf, stateTables, type CommandTable } from './table.ts'

let work: DoJob | null = null

/** Stand-ins for the modules that connect to a server. */
const standIns: Readonly<Record<string, (original: () => Promise<object>) => unknown>> = {
  '../../../src/jobs/connection.ts': async (original) => ({
    ...(await original()),
    openQueue: async ({ host }: QueueAddress) => {
      calls.push({ address: host })
      return {}
    },
  }),
  '../../../src/jobs/queue_runner.ts': () => ({
    QueueRunner: class {
      readonly store: JobStore
      readonly examplesPerJob = 2
      readonly run: JobRunner['run']
      constructor({ store }: { readonly store: JobStore }) {
        this.store = store
        this.run = inlineRunner(work as DoJob, store).run
      }
      workers = async (): Promise<number> => 1
      close = (): Promise<void> => this.store.close()
    },
  }),
  '../../../src/jobs/queue_worker.ts': () => ({
    runWorker: async ({ queue, threads, concurrency, grace, idle, lock }: WorkerOptions) => {
      const { path, backend } = threads.start as ThreadStart
      calls.push({ queue, path, backend, concurrency, grace, idle, lock })
      return { done: 0, found: 0, failed: 0, returned: 0 }
    },
  }),
  '../../../src/jobs/queue_state.ts': () => ({
    readQueues: async (): Promise<QueueState[]> => [
      {
        name: 'shadow',
        workers: 0,
        counts: { waiting: 0, delayed: 0, active: 0, failed: 0 },
        perMinute: null,
        secondsLeft: null,
        failures: [],
      },
    ],
    retryFailed: async () => 3,
  }),
}

// The spec files of a worker share modules. This file loads its own and removes them at its end.
vi.resetModules()
for (const [path, standIn] of Object.entries(standIns)) vi.doMock(path, standIn as never)
const { calls } = await import('./observe.ts')
const { useSurroundings } = await import('./surroundings.ts')
const { inlineRunner } = await import('../../jobs/inline_runner.ts')
const { run, place } = useSurroundings()

let opt: ShadowModel
beforeAll(async () => {
  const { ShadowModel: Library } = await import('../../../src/library/shadow_model.ts')
  const { makeDoJob } = await import('../../../src/evaluation/jobs/do_job.ts')
  const { hashFiles } = await import('../../../src/results/provenance.ts')
  const { methodHash } = await import('../../../src/results/method_hash.ts')
  opt = await Library.fromPretrained(place('model'))
  work = makeDoJob({ model: opt.model, hash: await hashFiles(opt.files), method: await methodHash() })
})
afterAll(async () => {
  await opt.dispose()
  for (const path of Object.keys(standIns)) vi.doUnmock(path)
  vi.resetModules()
})

stateTables(queueTables, run)

test.each<[string, CommandTable, string]>([
  [
    'calibrate',
    calibrateQueue,
    '--mask {mask.safetensors} --keep-sequence --criteria random,l2norm --seed 7',
  ],
  ['eval', evalQueue, '--planner random,shadow,oracle --sparsity 0.3,0.7 --scope hybrid --seed 7 --every 2'],
  [
    'eval',
    evalQueue,
    '--planner static,dejavu --calibration {traces} --predictor {predictors/dejavu.safetensors} --paper-compatible --leaky',
  ],
])(
  '%s over a queue gives the results of a run without one, with every option at once',
  async (_, table, beside) => {
    const row = { flag: '--queue', beside, values: [] }
    const here = await run(argumentsOf(table, row, null))
    const queued = { ...row, beside: `${beside} --shards {out}/shards` }
    const there = await run(argumentsOf(table, queued, 'redis://a:1'))
    expect([here, there].map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ''],
      [0, ''],
    ])
    expect(table.result(there)).toEqual(table.result(here))
  },
)
