/**
 * Threads that calibrate: the bits and the order of one thread, whatever their number, and an end whenever it is wanted.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { calibrateToFolder } from '../../src/eval/calibration/collect.ts'
import {
  collectInThreads,
  collectTask,
  usualThreads,
  type Collected,
  type CollectTask,
} from '../../src/eval/calibration/pool.ts'
import { OptModel } from '../../src/model/opt/opt_model.ts'
import { goldenConfig, goldenSource } from '../golden/model.ts'
import { root, tinyFolder } from '../cli/run_cli.ts'
import { filesOf, makeWindows, smallConfig, smallOptions } from './small_calibration.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-threads-'))
const path = join(root, tinyFolder)
let backend: Backend
let model: OptModel
beforeAll(async () => {
  backend = await createBackend('wasm')
  model = await OptModel.load(goldenConfig('preln'), goldenSource('preln'), backend)
})
afterAll(() => {
  model.dispose()
  rmSync(folder, { recursive: true })
})

/** Windows of very different lengths, so that threads overtake each other. */
const windows = makeWindows(9)
const tasks: CollectTask[] = windows.map((window, index) => ({
  index,
  window,
  criteria: ['plainact', 'random'],
  seed: 7,
  keepSequence: true,
  mask: null,
  isMeasured: false,
}))

type Collect = typeof collectInThreads

async function all(collect: Collect, count: number): Promise<Collected[]> {
  const results: Collected[] = []
  for await (const result of collect(tasks, count, { path, backend: 'wasm' })) results.push(result)
  return results
}

/** One thread's results, in order. */
const areThoseOfOne = async (collect: Collect, count: number): Promise<void> =>
  expect(await all(collect, count)).toEqual(tasks.map((task) => collectTask(model, task)))

describe('threads', () => {
  test.each([2, 3])('%i give the results of one, in order', (count) => areThoseOfOne(collectInThreads, count))

  test('mutants are killed: results as they come, a seed of the thread’s own', async () => {
    const asTheyCome: Collect = async function* (list, ...rest) {
      const swapped = list.toSorted((a, b) => a.window.tokens.length - b.window.tokens.length)
      yield* collectInThreads(swapped, ...rest)
    }
    const ownSeed: Collect = (list, count, ...rest) =>
      collectInThreads(
        list.map((task) => ({ ...task, seed: task.index % count })),
        count,
        ...rest,
      )
    for (const mutant of [asTheyCome, ownSeed])
      await expect(areThoseOfOne(mutant, 2)).rejects.toThrow('expected')
  })

  test('write the files that one writes', async () => {
    const [one, two] = [join(folder, 'one'), join(folder, 'two')]
    const options = smallOptions(model, one, windows, { shardExamples: 4 })
    await calibrateToFolder(options)
    const threads = { path, backend: 'wasm', count: 2 } as const
    const report = await calibrateToFolder({ ...options, folder: two, threads })
    expect(filesOf(two)).toEqual(filesOf(one))
    expect(report.cost).toMatchObject({ measured: 8, seconds: { plain: expect.any(Number) as number } })
  })

  test('end when they are told to, with what was finished kept', async () => {
    const place = join(folder, 'stopped')
    const stop = new AbortController()
    const options = smallOptions(model, place, windows, { threads: { path, backend: 'wasm', count: 2 } })
    const stopped = calibrateToFolder(options, ({ done }) => done === 3 && stop.abort('enough'), stop.signal)
    await expect(stopped).rejects.toBe('enough')
    const names = Object.keys(filesOf(place)).filter((name) => name.startsWith('example'))
    expect(names).toHaveLength(3)
  })

  test('that cannot open their model say so', async () => {
    const failing = collectInThreads(tasks, 2, { path: join(folder, 'none'), backend: 'wasm' })
    await expect(failing.next()).rejects.toThrow(/none: expected a model/)
  })

  test('are as many as there is work for, and at least one', () => {
    expect(usualThreads(smallConfig, 1)).toBe(1)
    expect(usualThreads(smallConfig, 31)).toBe(1)
    const many = usualThreads(smallConfig, 10_000)
    expect(usualThreads({ ...smallConfig, neurons: 2 ** 40 }, 10_000)).toBe(1)
    expect(many).toBeLessThanOrEqual(8)
    expect(many).toBeGreaterThanOrEqual(1)
  })
})
