/**
 * Progress is counted: what a long piece of work reports rises in the order of time, ends with its total, and the total is the
 * amount of work that was really done.
 *
 * A piece of work is one entry of `works`. Tests src/engine/weight_reader.ts, src/evaluation/evaluate.ts,
 * src/evaluation/decode.ts, src/evaluation/jobs/evaluate_job.ts, src/evaluation/text_perplexity.ts, src/evaluation/tasks/asking.ts, src/parity/run_ops.ts,
 * src/calibration/collect.ts, src/calibration/folder.ts and src/io/convert.ts.
 */
import { join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { calibrateToFolder } from '../../src/calibration/collect.ts'
import { textOfDocuments } from '../../src/data/texts.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { storages } from '../../src/engine/storages/index.ts'
import { makeDoJob } from '../../src/evaluation/jobs/do_job.ts'
import { evaluateJobs } from '../../src/evaluation/jobs/evaluate_job.ts'
import { measureDecode } from '../../src/evaluation/decode.ts'
import { evaluate } from '../../src/evaluation/evaluate.ts'
import { askTasks } from '../../src/evaluation/tasks/asking.ts'
import { textPerplexity } from '../../src/evaluation/text_perplexity.ts'
import { convertCheckpoint } from '../../src/io/convert.ts'
import { kernelNames } from '../../src/ops/catalog.ts'
import { runOps } from '../../src/parity/run_ops.ts'
import { inputsFrom } from '../../src/results/method.ts'
import { methodHash } from '../../src/results/method_hash.ts'
import type { JobModel } from '../../src/jobs/job_model.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { makeWindows, smallOptions } from '../calibration/small_calibration.ts'
import {
  question,
  smallConfig,
  someMethods,
  somePages,
  someTasks,
  useSmallModel,
} from '../evaluation/small_model.ts'
import { tinyFolder } from '../cli/run_cli.ts'
import { inlineRunner } from '../jobs/inline_runner.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const small = useSmallModel('reference')
const folder = temporaryFolder()
let model: LanguageModel
beforeAll(() => void ({ model } = small.source()))

/** One report: of which stage, how much is done, of how much. */
type Report = readonly [stage: string, done: number, total: number]
/** Does a piece of work. @returns how much of each stage there was to do, counted otherwise */
type Work = (report: (...one: Report) => void) => Promise<Readonly<Record<string, number>>>

const windows = [1, 2, 3].map((seed) => ({ ...question(seed).requests[0], words: 1 }))
const tasks = someTasks()

const works: Readonly<Record<string, Work>> = {
  ...Object.fromEntries(
    storages.map((storage): [string, Work] => [
      `loading as ${storage}`,
      async (report) => {
        const source = memorySource(initialWeights(smallConfig, { seed: 1 }))
        let bytes = 0
        const counted = {
          ...source,
          stream: async function* (tensor: string, length: number) {
            for await (const part of source.stream(tensor, length)) {
              bytes += part.bytes.length
              yield part
            }
          },
        }
        const onProgress = ({ loadedBytes, totalBytes }: { loadedBytes: number; totalBytes: number }): void =>
          report('load', loadedBytes, totalBytes)
        const loaded = await LanguageModel.load(smallConfig, counted, model.backend, { storage, onProgress })
        loaded.dispose()
        return { load: bytes }
      },
    ]),
  ),
  'evaluating methods on texts': async (report) => {
    let scored = 0
    const texts = windows.map((window, i) => ({ windows: [window], seed: i, denseOnly: i === 1 }))
    const onScore = (done: number, total: number): void => report('texts', done, total)
    for await (const scores of evaluate(model, someMethods(model), texts, {
      inputsOf: inputsFrom({}),
      onScore,
    }))
      scored += scores.length
    return { texts: scored }
  },
  'decoding in rounds': async (report) => {
    const begin = vi.spyOn(LanguageModel.prototype, 'begin')
    const onTurn = (done: number, total: number): void => report('turns', done, total)
    const sizes = { prompt: 2, tokens: 2, rounds: 4 }
    await measureDecode(model, Int32Array.of(2, 5), [null, null, null], sizes, onTurn)
    const begun = begin.mock.calls.length
    begin.mockRestore()
    // The first turn is not timed.
    return { turns: begun - 1 }
  },
  'measuring perplexity': async (report) => {
    const text = textOfDocuments('pages', somePages(3))
    const measured = await textPerplexity(
      { ...small.source(), text, methods: someMethods(model), prompt: 6, windows: 4 },
      (protocol, done, total) => report(protocol, done, total),
    )
    return measured.protocol.windows as Readonly<Record<string, number>>
  },
  'asking questions': async (report) => {
    const asked = { model, tasks, methods: someMethods(model), seed: 1 }
    const counts: Record<string, number> = {}
    for await (const { task } of askTasks(asked, { tell: report })) {
      const { name } = tasks[task]
      counts[name] = (counts[name] ?? 0) + 1
    }
    return counts
  },
  'running ops': async (report) => {
    let outcomes = 0
    const ops = kernelNames.slice(0, 3)
    const onProgress = (done: number, total: number): void => report('ops', done, total)
    for await (const _ of runOps(model.backend, { ops, seed: 1, small: true, onProgress })) outcomes++
    return { ops: outcomes }
  },
  'calibrating, and calibrating again': async (report) => {
    const { smallConfig: config, makeSmallModel } = await import('../calibration/small_calibration.ts')
    const own = await makeSmallModel(model.backend, config)
    const made = makeWindows(7)
    const options = { ...smallOptions(own, join(folder, 'traces'), made), shardExamples: 2 }
    try {
      const first = await calibrateToFolder(options, ({ stage, done, total }) => report(stage, done, total))
      let checked = 0
      await calibrateToFolder(options, ({ stage, done, total }) => {
        if (stage === 'calibrate') expect(total, 'examples that are computed again').toBe(0)
        else checked = total
        if (stage === 'check') report('check again', done, total)
      })
      // Seven examples are four files of two.
      expect(checked).toBe(4)
      return { calibrate: first.computed, 'check again': checked }
    } finally {
      own.dispose()
    }
  },
  'converting a checkpoint': async (report) => {
    const { bytes } = await convertCheckpoint(tinyFolder, join(folder, 'converted'), {
      force: true,
      onProgress: ({ doneBytes, totalBytes }) => report('bytes', doneBytes, totalBytes),
    })
    return { bytes }
  },
}

test('texts that a runner scores are told as the whole number nearest to the share of jobs that are done', async () => {
  const own: JobModel = { model, hash: '0'.repeat(64), method: await methodHash() }
  const methods = someMethods(model).slice(0, 1)
  const textOf = (seed: number) => ({ windows: [windows[seed]], seed })
  const jobs = [[0], [1, 2], [0], [1]].map((seeds) => ({ methods, texts: seeds.map(textOf) }))
  const told: number[] = []
  const onScore = (done: number): void => void told.push(done)
  const place = { runner: inlineRunner(makeDoJob(own)), model: own }
  for await (const _ of evaluateJobs(model, jobs, { inputsOf: inputsFrom({}), onScore }, place));
  // Five texts in four jobs: 1.25, 2.5, 3.75 and 5.
  expect(told).toEqual([1, 3, 4, 5])
})

/** @throws Error for progress that falls, does not end, or has another total than what was done */
async function expectCounted(
  work: Work,
  spoil: (report: Report) => Report = (report) => report,
): Promise<void> {
  const reports = new Map<string, Report[]>()
  const done = await work((...one) => {
    const [stage, ...rest] = spoil(one)
    reports.set(stage, [...(reports.get(stage) ?? []), [stage, ...rest]])
  })
  for (const [stage, count] of Object.entries(done)) {
    const all = reports.get(stage) ?? []
    expect(all.length, stage).toBeGreaterThan(0)
    for (const [i, [, now, total]] of all.entries()) {
      expect(total, `total of ${stage}`).toBe(count)
      expect(now, stage).toBeGreaterThanOrEqual(i === 0 ? 0 : all[i - 1][1])
    }
    expect(all[all.length - 1][1], `the end of ${stage}`).toBe(count)
  }
}

describe('progress is what was really done:', () => {
  test.each(Object.keys(works))('%s', (name) => expectCounted(works[name]))

  test.each(Object.keys(works).filter((name) => name !== 'calibrating, and calibrating again'))(
    'progress that stops early, counts one too many or forgets a stage is found: %s',
    async (name) => {
      const spoils: ((report: Report) => Report)[] = [
        ([stage, done, total]) => [stage, Math.max(0, done - 1), total],
        ([stage, done, total]) => [stage, done, total + 1],
        ([, done, total]) => ['another', done, total],
      ]
      for (const spoil of spoils) await expect(expectCounted(works[name], spoil)).rejects.toThrow()
    },
  )
})
