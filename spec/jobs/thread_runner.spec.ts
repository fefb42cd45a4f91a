/**
 * Runners of one machine give results in the order of the jobs, for any number of jobs and threads and in any order of
 * completion. Stand-ins in this process replace threads, so that the seed decides their order;
 * spec/calibration/calibrate_thread.full.spec.ts uses real threads.
 *
 * Tests src/jobs/job_threads.ts and src/jobs/runner.ts.
 */
import { EventEmitter } from 'node:events'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { inlineRunner } from './inline_runner.ts'
import type { JobRunner } from '../../src/jobs/runner.ts'
import type { Job } from '../../src/jobs/job.ts'
import { memoryStore, type JobStore } from '../../src/jobs/job_store.ts'
import type { ThreadSource } from '../../src/jobs/job_threads.ts'
import { threadRunner } from '../../src/jobs/thread_runner.ts'
import { Random } from '../../src/tensor/random.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { doTestJob, echoJobs, testThreads, texts } from './test_jobs.ts'

interface Told {
  readonly job?: Job
}

/** Stand-ins for threads, and counts of their work. */
class Threads {
  started = 0
  ended = 0
  given = 0
  most = 0
  readonly #random: Random
  readonly #running = new Set<StandIn>()

  constructor(seed: number) {
    this.#random = new Random(seed)
  }

  /** The duration of a job, in turns of the event loop. */
  turns(): number {
    return this.#random.below(6)
  }

  begin(thread: StandIn): void {
    // A thread does one job at a time.
    expect(this.#running.has(thread)).toBe(false)
    this.#running.add(thread)
    this.given++
    this.most = Math.max(this.most, this.#running.size)
  }

  finish(thread: StandIn): void {
    this.#running.delete(thread)
  }

  source(): ThreadSource {
    return { code: (() => new StandIn(this)) as unknown as ThreadSource['code'], start: null }
  }
}

/** Answers a job with its value after some turns. A job of kind `death` ends the thread, one of kind `poison` fails. */
class StandIn extends EventEmitter {
  readonly #threads: Threads

  constructor(threads: Threads) {
    super()
    this.#threads = threads
    threads.started++
  }

  postMessage(message: Told | string): void {
    if (typeof message !== 'string') return message.job && void this.#perform(message.job)
    // It is asked to end.
    this.#threads.ended++
    this.emit('exit')
  }

  ref(): void {}

  async #perform({ kind, settings }: Job): Promise<void> {
    this.#threads.begin(this)
    for (let turn = this.#threads.turns(); turn >= 0; turn--) await new Promise(setImmediate)
    this.#threads.finish(this)
    if (kind === 'death') this.emit('error', new Error('the thread ended'))
    else if (kind === 'poison')
      this.emit('message', { failure: { message: `poison ${String(settings.value)}` } })
    else this.emit('message', { result: new TextEncoder().encode(String(settings.value)) })
  }
}

const jobsOf = (count: number, kind = 'echo'): Job[] =>
  Array.from({ length: count }, (_, value) => ({ kind, settings: { value }, files: {} }))

type Make = (threads: Threads, count: number) => JobRunner
const overThreads: Make = (threads, count) => threadRunner(threads.source(), count)

/** Results are in the order of the jobs. Each thread runs one job at a time, and at most four per thread are started ahead. */
const isInOrder = lawForAll(
  'gives results in the order of the jobs',
  {
    jobs: fc.constantFrom(0, 1, 2, 11, 120),
    count: fc.integer({ min: 1, max: 5 }),
    seed: fc.nat(),
    isSlow: fc.boolean(),
  },
  async (make: Make, { jobs, count, seed, isSlow }) => {
    const threads = new Threads(seed)
    const runner = make(threads, count)
    const told: number[] = []
    const found: string[] = []
    const onDone = (done: number, total: number): void => void told.push(done, total)
    for await (const result of runner.run(jobsOf(jobs), { onDone })) {
      // A slow consumer limits how many jobs are started ahead.
      if (isSlow) for (let turn = 0; turn < 12; turn++) await new Promise(setImmediate)
      expect(threads.given).toBeLessThanOrEqual(found.length + 4 * count)
      found.push(new TextDecoder().decode(result))
    }
    await runner.close()
    expect(found).toEqual(Array.from({ length: jobs }, (_, value) => String(value)))
    expect(told).toEqual(Array.from({ length: jobs }, (_, i) => [i + 1, jobs]).flat())
    expect(threads.most).toBe(Math.min(count, jobs))
    expect([threads.started, threads.ended]).toEqual([threads.most, threads.most])
  },
  { runs: 30 },
)

describe('a runner over threads', () => {
  stateLaw(isInOrder, overThreads)

  killsEach('mutant: one that %s: killed', isInOrder, {
    'asks for them in another order': (threads, count) => {
      const runner = overThreads(threads, count)
      return { ...runner, run: (jobs, options) => runner.run(jobs.toReversed(), options) }
    },
    'sorts them as texts': (threads, count) => {
      const runner = overThreads(threads, count)
      return { ...runner, run: (jobs, options) => runner.run(byText(jobs), options) }
    },
    'has one thread more': (threads, count) => overThreads(threads, count + 1),
  })

  test.each([
    ['death', 'the thread ended'],
    ['poison', 'poison 3'],
  ])('throws the error of a %s, and does other jobs after it', async (kind, words) => {
    const threads = new Threads(1)
    const runner = overThreads(threads, 2)
    const jobs = jobsOf(9).map((job, i) => (i === 3 ? { ...job, kind } : job))
    const found: string[] = []
    const run = async (): Promise<void> => {
      for await (const result of runner.run(jobs)) found.push(new TextDecoder().decode(result))
    }
    await expect(run()).rejects.toThrow(words)
    expect(found).toEqual(['0', '1', '2'])
    expect(await texts(runner.run(jobsOf(11)))).toEqual(
      jobsOf(11).map(({ settings }) => String(settings.value)),
    )
    expect(threads.started).toBe(kind === 'death' ? 3 : 2)
    await runner.close()
    await expect(runner.run(jobsOf(1)).next()).rejects.toThrow('threads: the pool has been closed')
  })

  test('ends running jobs when it is closed or aborted', async () => {
    const runner = overThreads(new Threads(2), 1)
    const first = runner.run(jobsOf(2)).next()
    await runner.close()
    await expect(first).rejects.toThrow('threads: the pool has been closed')
    const stop = new AbortController()
    const other = overThreads(new Threads(3), 1)
    const stopped = other.run(jobsOf(3), { signal: stop.signal })
    await stopped.next()
    stop.abort(new Error('enough'))
    await expect(stopped.next()).rejects.toThrow('enough')
    await other.close()
  })
})

const byText = (jobs: readonly Job[]): Job[] =>
  jobs.toSorted((a, b) => (String(a.settings.value) < String(b.settings.value) ? -1 : 1))

describe('a runner in this thread', () => {
  const hasResults = async (count: number, change = (jobs: readonly Job[]) => [...jobs]): Promise<void> => {
    const done: number[] = []
    const told: number[] = []
    const runner = inlineRunner((job, context) => {
      done.push(Number(job.settings.value))
      return doTestJob(job, context)
    })
    const { jobs, expected } = await echoJobs(runner.store, count)
    const onDone = (...now: number[]): void => void told.push(...now)
    expect(await texts(runner.run(change(jobs), { onDone }))).toEqual(expected)
    expect(told).toEqual(expected.flatMap((_, i) => [i + 1, count]))
    // In the second run all results are in the store.
    expect(await texts(runner.run(jobs))).toEqual(expected)
    expect(done).toHaveLength(count)
  }
  test.each([0, 1, 11, 120])('gives %i results in order, and does no job twice', (count) => hasResults(count))

  test('a mutant that sorts jobs as texts is killed', () =>
    expect(hasResults(11, byText)).rejects.toThrow('expected'))

  test('computes a damaged stored result again', async () => {
    const files = new Map<string, Uint8Array>()
    const store: JobStore = memoryStore()
    const { write } = store.place
    Object.assign(store.place, {
      write: (name: string, bytes: Uint8Array) => (files.set(name, bytes), write(name, bytes)),
    })
    const runner = inlineRunner(doTestJob, store)
    const { jobs, expected } = await echoJobs(store, 2)
    expect(await texts(runner.run(jobs))).toEqual(expected)
    const [, name] = [...files.keys()]
    await write(name, (files.get(name) as Uint8Array).slice(0, -1))
    expect(await texts(runner.run(jobs))).toEqual(expected)
  })
})

test('a thread is given no input with other bytes than those that it is named by', async () => {
  const runner = threadRunner(testThreads, 1)
  const { jobs, expected } = await echoJobs(runner.store, 1)
  expect(await texts(runner.run(jobs))).toEqual(expected)
  const { jobs: others } = await echoJobs(runner.store, 1, {}, 1)
  const files = { input: await runner.store.add(new TextEncoder().encode('of another input')) }
  await runner.store.write(files.input, new TextEncoder().encode('of a stranger'))
  await expect(texts(runner.run(others.map((job) => ({ ...job, files }))))).rejects.toMatchObject({
    code: 'SHARD_DAMAGED',
  })
  await runner.close()
})
