/**
 * `reproduce`, `calibrate` and `eval` over a queue: workers, each a process of its own, give the bytes of one machine. Three of them
 * serve a small model, on which jobs take milliseconds, and one the model that is used unless another is named.
 *
 * Tests src/cli/commands/worker.ts, src/cli/commands/jobs.ts and src/cli/queue_flags.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startServer, whyNoServer, type TestServer } from '../../jobs/server.ts'
import { filesOf } from '../../calibration/small_calibration.ts'
import { writeModel } from '../options/small_files.ts'
import { runCli, type CliResult } from '../run_cli.ts'
import { runInside } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-cli-queue-'))
const small = ['-m', join(folder, 'small')]
let server: TestServer | undefined
beforeAll(async () => {
  if (whyNoServer !== null) return
  server = await startServer()
  await writeModel(join(folder, 'small'), 1)
})
afterAll(async () => {
  await server?.stop()
  rmSync(folder, { recursive: true })
})

const queue = (): string[] => ['--queue', server?.url ?? '', '--shards', join(folder, 'jobs')]

/** Runs some work while workers run, and stops them after it. @returns the result and the outputs of the workers */
async function besideWorkers<T>(work: () => Promise<T>): Promise<[T, CliResult[]]> {
  let isOver = false
  const worker = (model: string[]): Promise<CliResult> =>
    runCli(['worker', ...model, ...queue(), '--json'], { interruptWhen: () => isOver })
  const workers = Promise.all([small, small, small, []].map(worker))
  const done = await work().finally(() => (isOver = true))
  return [done, await workers]
}

/** The events of jobs that workers print. */
function eventsOf(results: readonly CliResult[]): { what: string; kind: string }[] {
  return results.flatMap(({ stdout }) =>
    stdout
      .split('\n')
      .filter((line) => line.includes('"what"'))
      .map((line) => JSON.parse(line) as { what: string; kind: string }),
  )
}

/** A report without provenance and times, which differ from run to run. */
function resultOf(text: string): string {
  const { provenance, seconds, ...report } = JSON.parse(text) as Record<string, unknown>
  expect(provenance).toBeTypeOf('object')
  expect(seconds).toBeTypeOf('number')
  return JSON.stringify(report)
}

describe.skipIf(whyNoServer !== null)(`a queue${whyNoServer === null ? '' : `: ${whyNoServer}`}`, () => {
  test(
    'with workers, or threads: reproduce, calibrate and eval give the bytes of one thread',
    { timeout: 600_000 },
    async () => {
      const reproduce = ['reproduce', ...small, '--quick', '--no-speed', '--limit', '3', '--examples', '20']
      const run = (name: string, more: string[] = []): Promise<CliResult> =>
        runInside([...reproduce, '--sparsity', '0.5', '--json', '--cache', join(folder, name), ...more])
      const sizes = ['--limit', '20', '--prompt', '32', '--continuation', '16']
      const calibrate = ['calibrate', ...small, ...sizes]
      const ask = ['eval', '--tasks', 'continuation', '--limit', '10']
      const planned = [...ask, '--prompt', '24', '--continuation', '8', '--planner', 'shadow,random,oracle']
      const evaluate = [...planned, '--json']
      const [[queued, calibrated, asked], ended] = await besideWorkers(async () => [
        await run('queued', queue()),
        await runInside([...calibrate, '--output', join(folder, 'queued traces'), ...queue()]),
        await runInside([...evaluate, ...queue()]),
      ])
      const alone = await run('alone', ['--threads', '1'])
      const threaded = await run('threaded', ['--threads', '2'])
      await runInside([...calibrate, '--output', join(folder, 'traces'), '--threads', '1'])
      const askedAlone = await runInside(evaluate)
      for (const result of [queued, alone, threaded, calibrated, asked, askedAlone, ...ended])
        expect(result).toMatchObject({ code: 0, stderr: '' })
      expect(resultOf(queued.stdout)).toBe(resultOf(alone.stdout))
      expect(resultOf(threaded.stdout)).toBe(resultOf(alone.stdout))
      expect(resultOf(asked.stdout)).toBe(resultOf(askedAlone.stdout))
      expect(filesOf(join(folder, 'queued traces'))).toEqual(filesOf(join(folder, 'traces')))
      // The workers computed the jobs.
      const kinds = eventsOf(ended).map(({ what, kind }) => `${what} ${kind}`)
      expect(kinds).toContain('done calibrate')
      expect(kinds).toContain('done score')
      expect(kinds).toContain('done ask')
      expect(kinds.filter((kind) => !kind.startsWith('done'))).toEqual([])
      // The comparison finds another number.
      const changed = alone.stdout.replace(/"tokenPerplexity": \d/, '"tokenPerplexity": 9$&')
      expect(() => expect(resultOf(queued.stdout)).toBe(resultOf(changed))).toThrow()
      const jobs = await runInside(['jobs', '--queue', server?.url ?? '', '--json'])
      // Each model has a queue of its own.
      const idle = { counts: { waiting: 0, active: 0, failed: 0 }, failures: [], secondsLeft: 0 }
      expect(JSON.parse(jobs.stdout)).toMatchObject({ queues: [idle, idle] })
      const table = await runInside(['jobs', '--queue', server?.url ?? ''])
      expect(table.stdout).toMatch(/^queue +workers +waiting/)
    },
  )

  const endsIdle = /0 done, 0 were done already, 0 failed, 0 given back\n$/

  test('a worker that gets a ctrl-C ends with 0', async () => {
    const worker = await runCli(['worker', ...queue()], { interruptAtOutput: true })
    expect(worker).toMatchObject({ code: 0, stdout: expect.stringMatching(endsIdle) as string })
  })

  test('a worker that is idle for longer than --idle ends with 0', async () => {
    const worker = await runInside(['worker', ...queue(), '--idle', '0.5'])
    expect(worker).toMatchObject({ code: 0, stdout: expect.stringMatching(endsIdle) as string })
  })
})
