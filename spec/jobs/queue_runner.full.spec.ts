/**
 * The runner over a real server: it gives the results of one thread, in order, with any number of workers and in spite of
 * stopped ones. A job that fails stops no other, a forged job is refused, and a lost job is put into the queue again.
 *
 * Tests src/jobs/job_error.ts and src/jobs/queue_worker.ts.
 */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { queuePrefix, type QueueTools } from '../../src/jobs/connection.ts'
import { folderPlace } from '../../src/jobs/folder_place.ts'
import { QueueRunner } from '../../src/jobs/queue_runner.ts'
import { readQueues, retryFailed, type QueueCounts } from '../../src/jobs/queue_state.ts'
import { runWorker, type WorkerEvent, type WorkerReport } from '../../src/jobs/queue_worker.ts'
import { inlineRunner } from './inline_runner.ts'
import { jobKey, jobText, type Job } from '../../src/jobs/job.ts'
import { jobIdOf } from '../../src/jobs/queued_job.ts'
import { JobStore } from '../../src/jobs/job_store.ts'
import { isInOrder } from './order.ts'
import { startServer, whyNoServer, type TestServer } from './server.ts'
import { doTestJob, echoJobs, testThreads, texts } from './test_jobs.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const folder = temporaryFolder()
let server: TestServer
let tools: QueueTools
beforeAll(async () => {
  if (whyNoServer !== null) return
  server = await startServer()
  tools = await server.tools()
})
afterAll(() => server?.stop())

let queues = 0
/** A queue and a store that nobody else uses. */
interface Place {
  readonly queue: string
  readonly path: string
  store(): Promise<JobStore>
}
const newPlace = (): Place => {
  const path = join(folder, `store ${queues}`)
  return { queue: `queue-${queues++}`, path, store: async () => new JobStore(await folderPlace(path)) }
}

const openRunner = async ({ queue, store }: Place, more = {}): Promise<QueueRunner> =>
  new QueueRunner({ tools, queue, store: await store(), every: 100, ...more })

interface TestWorker {
  readonly events: WorkerEvent[]
  readonly stop: AbortController
  readonly ended: Promise<WorkerReport>
}

async function startWorker({ queue, store }: Place, more = {}): Promise<TestWorker> {
  const stop = new AbortController()
  const events: WorkerEvent[] = []
  const ended = runWorker({
    tools,
    queue,
    store: await store(),
    threads: testThreads,
    concurrency: 1,
    grace: 5000,
    idle: null,
    // No worker dies here, so a slow one keeps its jobs.
    lock: 600_000,
    signal: stop.signal,
    onEvent: (event) => events.push(event),
    ...more,
  })
  return { events, stop, ended }
}

async function endWorkers(workers: readonly TestWorker[]): Promise<WorkerReport[]> {
  for (const { stop } of workers) stop.abort()
  return Promise.all(workers.map(({ ended }) => ended))
}

/** Waits until something holds. The test has the time limit. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await wait(20)
}

/** How many jobs the workers have done so far. */
const doneBy = (workers: readonly TestWorker[]): number =>
  workers.flatMap(({ events }) => events).filter(({ what }) => what === 'done').length

/** The counts of jobs in a queue. */
async function countsOf({ queue }: Place): Promise<QueueCounts> {
  const found = (await readQueues(tools)).find(({ name }) => name === queue)
  return found?.counts ?? { waiting: 0, delayed: 0, active: 0, failed: 0 }
}

describe.skipIf(whyNoServer !== null)(`a queue${whyNoServer ? `: ${whyNoServer}` : ''}`, () => {
  test.each([1, 3])('with %i workers gives the results of one thread, in order', async (count) => {
    const place = newPlace()
    const workers = await Promise.all(Array.from({ length: count }, () => startWorker(place)))
    const runner = await openRunner(place)
    const told: number[] = []
    try {
      const { jobs, expected } = await echoJobs(runner.store, 40)
      const onDone = (done: number): void => void told.push(done)
      await isInOrder((asked) => runner.run(asked, { onDone }), jobs, expected)
      expect(await texts(inlineRunner(doTestJob, await place.store()).run(jobs))).toEqual(expected)
    } finally {
      await runner.close()
    }
    // 40 jobs in groups of 16 have three joins. The runner does not wait for the last one.
    await until(() => doneBy(workers) >= 43)
    const reports = await endWorkers(workers)
    expect(reports.reduce((total, { done }) => total + done, 0)).toBe(43)
    expect(told.at(-1)).toBe(40)
    expect(told).toEqual(told.toSorted((a, b) => a - b))
  })

  test('requests no stored result, and computes damaged ones again', async () => {
    const place = newPlace()
    const runner = await openRunner(place)
    const workers = [await startWorker(place)]
    try {
      const { jobs, expected } = await echoJobs(runner.store, 5)
      expect(await texts(runner.run(jobs))).toEqual(expected)
      // A result may be in the store before its worker reports it. The runner does not wait for the join.
      const echoes = (): number => workers[0].events.filter(({ kind }) => kind === 'echo').length
      await until(() => echoes() >= 5)
      expect(await texts(runner.run(jobs))).toEqual(expected)
      expect(echoes()).toBe(5)
      const more = await echoJobs(runner.store, 6)
      await runner.store.place.write(await jobKey(jobs[2]), Uint8Array.of(1, 2, 3))
      expect(await texts(runner.run(more.jobs))).toEqual(more.expected)
      // The sixth, and the damaged one.
      await until(() => echoes() >= 7)
      expect(workers[0].events.filter(({ kind, what }) => `${kind} ${what}` === 'echo done')).toHaveLength(7)
    } finally {
      await runner.close()
    }
    await endWorkers(workers)
  })

  test('a job that fails each time stays in the failed set, and the others are done', async () => {
    const place = newPlace()
    const runner = await openRunner(place, { attempts: 2 })
    const workers = [await startWorker(place)]
    const { jobs } = await echoJobs(runner.store, 20)
    const poisoned = jobs.map((job, i): Job => (i === 3 ? { ...job, kind: 'poison' } : job))
    await expect(texts(runner.run(poisoned))).rejects.toMatchObject({
      code: 'SHARDS_FAILED',
      exitCode: 1,
      message: expect.stringContaining('job 3 cannot be done') as string,
    })
    for (const [i, job] of poisoned.entries())
      expect(await runner.store.has(await jobKey(job)), `${i}`).toBe(i !== 3)
    // The last job and the failing join may still be active.
    await until(async () => {
      const { waiting, active } = await countsOf(place)
      return waiting + active === 0
    })
    const [state] = (await readQueues(tools)).filter(({ name }) => name === place.queue)
    expect(state).toMatchObject({ workers: 1, counts: { waiting: 0, active: 0 } })
    expect(state.failures).toContainEqual({
      key: await jobKey(poisoned[3]),
      kind: 'poison',
      attempts: 2,
      words: 'job 3 cannot be done',
    })
    // It is tried again by the next run, and when it is told to be.
    const before = workers[0].events.filter(({ what }) => what === 'failed').length
    await expect(texts(runner.run(poisoned))).rejects.toMatchObject({ code: 'SHARDS_FAILED' })
    expect(workers[0].events.filter(({ what }) => what === 'failed').length).toBeGreaterThan(before)
    expect(await retryFailed(tools, place.queue)).toBeGreaterThan(0)
    await runner.close()
    await endWorkers(workers)
  })

  test('a job that fails once succeeds on a retry', async () => {
    const place = newPlace()
    const runner = await openRunner(place)
    const workers = [await startWorker(place)]
    const { jobs } = await echoJobs(runner.store, 3, { marker: join(folder, 'marker') })
    const once = jobs.map((job): Job => ({ ...job, kind: 'once' }))
    expect(await texts(runner.run(once))).toEqual([0, 1, 2].map((i) => `${i} of the input`))
    expect(workers[0].events.filter(({ what }) => what === 'failed')).toHaveLength(1)
    await runner.close()
    await endWorkers(workers)
  })

  test('a worker told to stop finishes; jobs beyond its grace period go to another', async () => {
    const place = newPlace()
    const runner = await openRunner(place)
    const first = await startWorker(place, { grace: 100 })
    const gate = join(folder, 'gate')
    const { jobs, expected } = await echoJobs(runner.store, 2, { gate })
    const results = texts(runner.run(jobs))
    await until(async () => (await countsOf(place)).active === 1)
    first.stop.abort()
    expect(await first.ended).toMatchObject({ done: 0, returned: 1, failed: 0 })
    writeFileSync(gate, '')
    const second = await startWorker(place)
    expect(await results).toEqual(expected)
    await until(() => doneBy([second]) >= 3)
    await runner.close()
    const [report] = await endWorkers([second])
    expect(report).toMatchObject({ done: 3, returned: 0, failed: 0 })
  })

  test('a job is returned too if the grace period ends during its look-up in the store', async () => {
    const place = newPlace()
    const runner = await openRunner(place)
    const stopped = Promise.withResolvers<void>()
    let questions = 0
    const store = async (): Promise<JobStore> => {
      const { place: files } = await place.store()
      const read = async (name: string): Promise<Uint8Array | null> => {
        questions++
        await stopped.promise
        return files.read(name)
      }
      return new JobStore({ ...files, read })
    }
    const first = await startWorker({ ...place, store }, { grace: 0 })
    const { jobs, expected } = await echoJobs(runner.store, 1)
    const results = texts(runner.run(jobs))
    await until(() => questions === 1)
    first.stop.abort()
    // Timers of equal length fire in the order of their start, so that of the grace fires first.
    await turn()
    await wait(1)
    stopped.resolve()
    expect(await first.ended).toMatchObject({ done: 0, returned: 1, failed: 0 })
    const second = await startWorker(place)
    expect(await results).toEqual(expected)
    await runner.close()
    await endWorkers([second])
  })

  test('a queue that forgets everything is filled again', async () => {
    const place = newPlace()
    const runner = await openRunner(place)
    const { jobs, expected } = await echoJobs(runner.store, 6)
    const results = texts(runner.run(jobs))
    const redis = tools.connect()
    const last = `${queuePrefix}:${place.queue}:${jobIdOf(await jobKey(jobs[5]))}`
    await until(async () => (await redis.exists(last)) === 1)
    await redis.flushall()
    redis.disconnect()
    const workers = [await startWorker(place)]
    expect(await results).toEqual(expected)
    await runner.close()
    await endWorkers(workers)
  })

  test('an aborted run removes the jobs that no worker has begun', async () => {
    const place = newPlace()
    const runner = await openRunner(place)
    const { jobs } = await echoJobs(runner.store, 30)
    const stop = new AbortController()
    const results = texts(runner.run(jobs, { signal: stop.signal }))
    await until(async () => (await countsOf(place)).waiting >= 30)
    stop.abort(new Error('enough'))
    await expect(results).rejects.toThrow('enough')
    // The runner waits two seconds at most for the server.
    await until(async () => (await countsOf(place)).waiting === 0)
    await runner.close()
  })

  test('a run that is aborted while it adds jobs removes those too', async () => {
    const place = newPlace()
    const answer = Promise.withResolvers<void>()
    class FlowProducer extends tools.bullmq.FlowProducer {
      override async add(...flow: Parameters<InstanceType<typeof tools.bullmq.FlowProducer>['add']>) {
        const added = await super.add(...flow)
        await answer.promise
        return added
      }
    }
    const runner = await openRunner(place, { tools: { ...tools, bullmq: { ...tools.bullmq, FlowProducer } } })
    const { jobs } = await echoJobs(runner.store, 10)
    const stop = new AbortController()
    const results = texts(runner.run(jobs, { signal: stop.signal }))
    await until(async () => (await countsOf(place)).waiting >= 10)
    stop.abort(new Error('enough'))
    answer.resolve()
    await expect(results).rejects.toThrow('enough')
    await until(async () => (await countsOf(place)).waiting === 0)
    await runner.close()
  })

  test('a look-up that outlasts an aborted run adds no job again', async () => {
    const place = newPlace()
    const answer = Promise.withResolvers<void>()
    const looks = { held: false, count: 0 }
    const { place: files } = await place.store()
    const has = async (name: string): Promise<boolean> => {
      if (looks.held && looks.count++ === 0) await answer.promise
      return files.has(name)
    }
    const runner = await openRunner({ ...place, store: async () => new JobStore({ ...files, has }) })
    const { jobs } = await echoJobs(runner.store, 10)
    const stop = new AbortController()
    const results = texts(runner.run(jobs, { signal: stop.signal }))
    await until(async () => (await countsOf(place)).waiting >= 10)
    looks.held = true
    await until(() => looks.count > 0)
    stop.abort(new Error('enough'))
    await expect(results).rejects.toThrow('enough')
    await until(async () => (await countsOf(place)).waiting === 0)
    answer.resolve()
    // The look-up continues over the other jobs.
    for (let i = 0; i < 20; i++) expect((await countsOf(place)).waiting).toBe(0)
    await runner.close()
  })

  test('forged jobs are refused for good, and access no file', async () => {
    const place = newPlace()
    const workers = [await startWorker(place)]
    const before = readdirSync(folder)
    const connection = tools.connect()
    const queue = new tools.bullmq.Queue(place.queue, { connection, prefix: queuePrefix })
    const path: Job = { kind: 'echo', settings: { value: 1 }, files: { input: '../../../../etc/passwd' } }
    const forged: unknown[] = [
      null,
      {},
      { shard: 7 },
      { shard: '{' },
      { shard: jobText(path) },
      { shard: jobText({ kind: 'echo', settings: {}, files: {} }), code: 'process.exit()' },
      { shard: `{"files":{},"kind":"${'a'.repeat(2 ** 19)}","settings":{}}` },
    ]
    for (const [i, data] of forged.entries())
      await queue.add('echo', data, { jobId: `shard-forged-${i}`, attempts: 3 })
    await until(async () => (await queue.getFailedCount()) >= forged.length)
    // None is tried twice.
    expect(workers[0].events.map(({ what }) => what)).toEqual(forged.map(() => 'failed'))
    expect(readdirSync(folder)).toEqual(before)
    // And the worker works.
    const runner = await openRunner(place)
    const { jobs, expected } = await echoJobs(runner.store, 2)
    expect(await texts(runner.run(jobs))).toEqual(expected)
    await runner.close()
    await queue.close()
    connection.disconnect()
    await endWorkers(workers)
  })

  test('a worker without work stops by itself if told to', async () => {
    const worker = await startWorker(newPlace(), { idle: 200 })
    expect(await worker.ended).toEqual({ done: 0, found: 0, failed: 0, returned: 0 })
  })
})
