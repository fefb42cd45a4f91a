/**
 * What a queue costs, and what a second worker brings, in calibration of the embedded model.
 *
 *   node scripts/node.mjs bench/queue.ts [--examples 64] [--per-shard 8] [--rounds 3]
 *
 * The same jobs are done by one thread without a queue, by two threads, by one worker of a queue, and by two, each a
 * process of its own; they take turns, and ratios are taken within a round. Two threads say what two processors of this
 * machine can do at best. Needs valkey-server or redis-server.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatColumns } from '../src/cli/words.ts'
import { hashWindows, storeManifest } from '../src/calibration/manifest.ts'
import { textSource } from '../src/calibration/sources.ts'
import { takeWindows } from '../src/calibration/examples.ts'
import { loadBrown, splitDocuments } from '../src/data/corpus.ts'
import { methodHash } from '../src/results/method_hash.ts'
import { hashFiles } from '../src/results/provenance.ts'
import { calibrateJobs } from '../src/calibration/calibrate_job.ts'
import { jobThreads } from '../src/evaluation/jobs/threads.ts'
import { median, medianRatio, turnOrder } from '../src/results/interleaved_rounds.ts'
import { ShadowModel } from '../src/library/index.ts'
import { openJobStore } from '../src/jobs/open_store.ts'
import { QueueRunner } from '../src/jobs/queue_runner.ts'
import type { JobRunner } from '../src/jobs/runner.ts'
import type { Job } from '../src/jobs/job.ts'
import { queueName } from '../src/jobs/queued_job.ts'
import type { JobStore } from '../src/jobs/job_store.ts'
import { threadRunner } from '../src/jobs/thread_runner.ts'
import { criterionByName } from '../src/criteria/index.ts'
import { commandArguments, machine, now, runtime, write } from '../src/platform/platform.ts'
import { startServer, whyNoServer } from '../spec/jobs/server.ts'

const { values } = parseArgs({
  args: commandArguments(),
  options: {
    examples: { type: 'string', default: '64' },
    'per-shard': { type: 'string', default: '8' },
    rounds: { type: 'string', default: '3' },
  },
})
const [examples, perJob, rounds] = [values.examples, values['per-shard'], values.rounds].map(Number)

if (whyNoServer !== null) throw new Error(whyNoServer)
const server = await startServer()
const folder = mkdtempSync(join(tmpdir(), 'shadowllm-bench-queue-'))
const jobsFolder = join(folder, 'jobs')
const opt = await ShadowModel.fromPretrained('embedded', { backend: 'wasm' })
const hash = await hashFiles(opt.files)
const method = await methodHash()
const encode = (text: string): number[] => opt.encode(text)
const { prefixIds } = opt
const sizes = { prompt: 128, continuation: 128, count: examples, seed: 0 }
const source = textSource(splitDocuments(await loadBrown()).calibrate, {
  name: 'Brown corpus',
  encode,
  prefixIds,
  ...sizes,
})
const windows = await takeWindows(source, examples)
const start = { path: opt.files[1], backend: 'wasm', hash, method } as const

let seeds = 0
/** Jobs like those before, with a seed that no result is there for. */
async function newJobs(store: JobStore, count = examples, each = perJob): Promise<Job[]> {
  const { name, formula } = criterionByName('plainact')
  const stored = await storeManifest({
    model: { hash, ...opt.model.shape, width: opt.config.width },
    data: {
      name: source.name,
      hash: await hashWindows(windows),
      windows: examples,
      groups: [...new Set(windows.map(({ genre }) => genre))],
    },
    criteria: [{ name, formula }],
    datasetCriteria: [],
    seed: seeds++,
    keepSequence: false,
    mask: null,
    shardExamples: each,
  })
  const ranges = Array.from({ length: Math.ceil(count / each) }, (_, i) => ({
    first: i * each,
    end: Math.min(count, (i + 1) * each),
  }))
  return calibrateJobs({ stored, windows, mask: null }, ranges, { model: opt.model, hash, method }, store)
}

async function timeRun(runner: JobRunner): Promise<number> {
  const jobs = await newJobs(runner.store)
  const begun = now()
  let done = 0
  for await (const result of runner.run(jobs)) if (result.length > 0) done++
  if (done !== jobs.length) throw new Error(`expected ${jobs.length} results, got ${done}`)
  return (now() - begun) / 1000
}

/** Something that does jobs while it is timed, and nothing otherwise. */
interface Subject {
  readonly name: string
  whileUp(time: (runner: JobRunner) => Promise<number>): Promise<number>
}

const inThreads = (count: number): Subject => ({
  name: count === 1 ? 'one thread' : `${count} threads`,
  async whileUp(time) {
    const runner = threadRunner(jobThreads(start), count)
    // Each opens its model before the clock runs.
    await drain(runner, count)
    try {
      return await time(runner)
    } finally {
      await runner.close()
    }
  },
})

const overQueue = (count: number): Subject => ({
  name: count === 1 ? 'one worker' : `${count} workers`,
  async whileUp(time) {
    const args = ['src/cli/main.ts', 'worker', '--queue', server.url, '--shards', jobsFolder, '--quiet']
    const workers = Array.from({ length: count }, () =>
      spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] }),
    )
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.stdout.once('data', resolve))))
    const runner = new QueueRunner({
      tools: await server.tools(),
      queue: queueName({ model: hash, method: method.all, bits: 'exact' }),
      store: await openJobStore(jobsFolder),
    })
    try {
      await drain(runner, count)
      return await time(runner)
    } finally {
      await runner.close()
      await Promise.all(workers.map(end))
    }
  },
})

/** Jobs of a moment, until every worker has had one. */
async function drain(runner: JobRunner, count: number): Promise<void> {
  for await (const result of runner.run(await newJobs(runner.store, 4 * count, 1)))
    if (result.length === 0) throw new Error('expected a result')
}

function end(worker: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    worker.once('exit', () => resolve())
    worker.kill('SIGTERM')
  })
}

const subjects = [inThreads(1), inThreads(2), overQueue(1), overQueue(2)]
const seconds: number[][] = subjects.map(() => [])
for (let round = 0; round < rounds; round++)
  for (const i of turnOrder(round, subjects.length)) seconds[i].push(await subjects[i].whileUp(timeRun))

const { processor, threads } = machine()
await write('stdout', `${runtime.name} ${runtime.version}, ${runtime.system}, ${threads} x ${processor}\n`)
await write('stdout', `${examples} examples in jobs of ${perJob}, ${rounds} rounds\n\n`)
const rows = subjects.map(({ name }, i) => [
  name,
  median(seconds[i]).toFixed(2),
  ((median(seconds[i]) * perJob) / examples).toFixed(2),
  medianRatio(seconds[0], seconds[i]).toFixed(3),
  medianRatio(seconds[2], seconds[i]).toFixed(3),
])
await write(
  'stdout',
  formatColumns([['', 's', 's a job', 'of one thread', 'of one worker'], ...rows], [1, 2, 3, 4]),
)
await opt.dispose()
await server.stop()
rmSync(folder, { recursive: true })
