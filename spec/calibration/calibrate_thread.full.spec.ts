/**
 * Threads that calibrate: the bits and the order of one thread, whatever their number, and an end whenever it is wanted.
 *
 * Tests src/evaluation/jobs/job_thread.ts, src/evaluation/jobs/threads.ts and src/jobs/serve_model.ts.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { calibrateToFolder } from '../../src/calibration/collect.ts'
import { methodHash } from '../../src/results/method_hash.ts'
import { jobThreads } from '../../src/evaluation/jobs/threads.ts'
import { makeDoJob } from '../../src/evaluation/jobs/do_job.ts'
import type { JobModel } from '../../src/jobs/job_model.ts'
import { inlineRunner } from '../jobs/inline_runner.ts'
import type { JobRunner } from '../../src/jobs/runner.ts'
import { threadRunner } from '../../src/jobs/thread_runner.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { goldenConfig, goldenSource } from '../golden/model.ts'
import { root, tinyFolder } from '../cli/run_cli.ts'
import { filesOf, makeWindows, jobsOf, smallOptions } from './small_calibration.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const folder = temporaryFolder()
const path = join(root, tinyFolder)
let backend: Backend
let model: JobModel
beforeAll(async () => {
  backend = await createBackend('wasm')
  const opened = await LanguageModel.load(goldenConfig('preln'), goldenSource('preln'), backend)
  model = { model: opened, hash: 'a'.repeat(64), method: await methodHash() }
})
afterAll(() => model.model.dispose())

/** Windows of very different lengths, so that threads overtake each other. */
const windows = makeWindows(20)

const inThreads = (count: number, place = path): JobRunner => {
  const { hash, method } = model
  return threadRunner(jobThreads({ path: place, backend: 'wasm', hash, method }), count)
}

async function resultsOf(runner: JobRunner): Promise<Uint8Array[]> {
  try {
    const results: Uint8Array[] = []
    for await (const result of runner.run(await jobsOf(model, windows, runner))) results.push(result)
    return results
  } finally {
    await runner.close()
  }
}

/** One thread's results, in order. */
const areThoseOfOne = async (runner: JobRunner): Promise<void> =>
  expect(await resultsOf(runner)).toEqual(await resultsOf(inlineRunner(makeDoJob(model))))

describe('threads', () => {
  test.each([1, 2, 3])('%i give the results of one, in order', (count) => areThoseOfOne(inThreads(count)))

  test('mutants are killed: results in order of arrival, a result of another job', async () => {
    const swapped = inThreads(2)
    const asTheyCome: JobRunner = { ...swapped, run: (jobs) => swapped.run(jobs.toReversed()) }
    const plain = inThreads(2)
    const another: JobRunner = { ...plain, run: (jobs) => plain.run(jobs.map(() => jobs[0])) }
    for (const mutant of [asTheyCome, another])
      await expect(areThoseOfOne(mutant)).rejects.toThrow('expected')
  })

  test('write the files of one thread', async () => {
    const [one, two] = [join(folder, 'one'), join(folder, 'two')]
    const options = smallOptions(model.model, one, windows, { shardExamples: 4 })
    await calibrateToFolder(options)
    const threads = { path, backend: 'wasm', count: 2 } as const
    const report = await calibrateToFolder({ ...options, folder: two, threads })
    expect(filesOf(two)).toEqual(filesOf(one))
    expect(report.cost).toMatchObject({ measured: 8, seconds: { plain: expect.any(Number) as number } })
  })

  test('stop when told to, and keep finished examples', async () => {
    const place = join(folder, 'stopped')
    const stop = new AbortController()
    const options = smallOptions(model.model, place, windows, {
      threads: { path, backend: 'wasm', count: 2 },
    })
    const stopped = calibrateToFolder(options, ({ done }) => done === 11 && stop.abort('enough'), stop.signal)
    await expect(stopped).rejects.toBe('enough')
    const names = Object.keys(filesOf(place)).filter((name) => name.startsWith('example'))
    expect(names).toHaveLength(11)
  })

  test('report a model that cannot be opened', async () => {
    await expect(resultsOf(inThreads(2, join(folder, 'none')))).rejects.toThrow(/none: expected a model/)
  })
})
