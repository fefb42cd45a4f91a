/**
 * Jobs of a calibration: jobs of another model are refused, and the number of threads follows the work.
 * calibrate_thread.full.spec.ts uses real threads.
 *
 * Tests src/calibration/job_inputs.ts and src/jobs/model_threads.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { methodHash } from '../../src/results/method_hash.ts'
import { makeDoJob } from '../../src/evaluation/jobs/do_job.ts'
import type { JobModel } from '../../src/jobs/job_model.ts'
import { defaultThreads } from '../../src/jobs/model_threads.ts'
import { inlineRunner } from '../jobs/inline_runner.ts'
import { makeSmallModel, makeWindows, jobsOf, smallConfig } from './small_calibration.ts'

let model: JobModel
beforeAll(async () => {
  const opened = await makeSmallModel(await createBackend('wasm'))
  model = { model: opened, hash: 'a'.repeat(64), method: await methodHash() }
})
afterAll(() => model.model.dispose())

const windows = makeWindows(3)

describe('threads', () => {
  test('refuse jobs of another model and of another method', async () => {
    const runner = inlineRunner(makeDoJob({ ...model, hash: 'b'.repeat(64) }))
    const others = await jobsOf(model, windows, runner)
    await expect(runner.run(others).next()).rejects.toMatchObject({ code: 'SHARD_MODEL' })
    const method = { calibration: 'c'.repeat(64), all: 'c'.repeat(64) }
    const older = await jobsOf({ ...model, method }, windows, runner)
    await expect(inlineRunner(makeDoJob(model), runner.store).run(older).next()).rejects.toMatchObject({
      code: 'SHARD_MODEL',
    })
  })

  test('are as many as the work needs, from one to eight', () => {
    expect(defaultThreads(smallConfig, 1)).toBe(1)
    expect(defaultThreads(smallConfig, 31)).toBe(1)
    const many = defaultThreads(smallConfig, 10_000)
    expect(defaultThreads({ ...smallConfig, neurons: 2 ** 40 }, 10_000)).toBe(1)
    expect(many).toBeLessThanOrEqual(8)
    expect(many).toBeGreaterThanOrEqual(1)
  })
})
