/**
 * The same commands over a queue: the bytes that one machine gives, from three workers that each are a process of their
 * own; and one line for what is missing.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startServer, whyNoServer, type TestServer } from '../jobs/server.ts'
import { filesOf } from '../eval/small_calibration.ts'
import { runCli, type CliResult } from './run_cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-cli-queue-'))
let server: TestServer | undefined
beforeAll(async () => {
  if (whyNoServer === null) server = await startServer()
})
afterAll(async () => {
  await server?.stop()
  rmSync(folder, { recursive: true })
})

const queue = (): string[] => ['--queue', server?.url ?? '', '--shards', join(folder, 'shards')]

/** Three workers, until they have had nothing to do for a while. */
function startWorkers(): Promise<CliResult>[] {
  return Array.from({ length: 3 }, () => runCli(['worker', ...queue(), '--idle', '8', '--json']))
}

/** What workers say of shards that they have done. */
function eventsOf(results: readonly CliResult[]): { what: string; kind: string }[] {
  return results.flatMap(({ stdout }) =>
    stdout
      .split('\n')
      .filter((line) => line.includes('"what"'))
      .map((line) => JSON.parse(line) as { what: string; kind: string }),
  )
}

/** A report without what tells one run from another: when it was, how long it took. */
function resultOf(text: string): string {
  const { provenance, seconds, ...report } = JSON.parse(text) as Record<string, unknown>
  expect(provenance).toBeTypeOf('object')
  expect(seconds).toBeTypeOf('number')
  return JSON.stringify(report)
}

describe.skipIf(whyNoServer !== null)(`a queue${whyNoServer === null ? '' : `: ${whyNoServer}`}`, () => {
  test(
    'with three workers: reproduce and calibrate give the bytes of one machine',
    { timeout: 600_000 },
    async () => {
      const workers = startWorkers()
      const reproduce = ['reproduce', '--quick', '--no-speed', '--limit', '3', '--examples', '20']
      const run = (name: string, more: string[] = []): Promise<CliResult> =>
        runCli([...reproduce, '--sparsity', '0.5', '--json', '--cache', join(folder, name), ...more])
      const queued = await run('queued', queue())
      const calibrate = ['calibrate', '--examples', '20', '--prompt', '32', '--continuation', '16']
      const calibrated = await runCli([...calibrate, '--output', join(folder, 'queued traces'), ...queue()])
      const ended = await Promise.all(workers)
      const alone = await run('alone')
      await runCli([...calibrate, '--output', join(folder, 'traces'), '--threads', '1'])
      for (const result of [queued, alone, calibrated, ...ended])
        expect(result).toMatchObject({ code: 0, stderr: '' })
      expect(resultOf(queued.stdout)).toBe(resultOf(alone.stdout))
      expect(filesOf(join(folder, 'queued traces'))).toEqual(filesOf(join(folder, 'traces')))
      // It was the workers who did it.
      const kinds = eventsOf(ended).map(({ what, kind }) => `${what} ${kind}`)
      expect(kinds).toContain('done calibrate')
      expect(kinds).toContain('done score')
      expect(kinds.every((kind) => kind.startsWith('done'))).toBe(true)
      // And the comparison would see another number.
      const changed = alone.stdout.replace(/"tokenPerplexity": \d/, '"tokenPerplexity": 9$&')
      expect(() => expect(resultOf(queued.stdout)).toBe(resultOf(changed))).toThrow()
      const jobs = await runCli(['jobs', '--queue', server?.url ?? '', '--json'])
      expect(JSON.parse(jobs.stdout)).toMatchObject({
        queues: [{ counts: { waiting: 0, active: 0, failed: 0 }, failures: [], secondsLeft: 0 }],
      })
      const table = await runCli(['jobs', '--queue', server?.url ?? ''])
      expect(table.stdout).toMatch(/^queue +workers +waiting/)
    },
  )

  test('a worker that is told to stop ends with 0', async () => {
    const worker = await runCli(['worker', ...queue()], { interruptAtOutput: true })
    expect(worker.code).toBe(0)
    expect(worker.stdout).toMatch(/0 done, 0 were done already, 0 failed, 0 given back\n$/)
  })
})

test.each<[string, string[], string]>([
  [
    '--queue without --shards',
    ['calibrate', '--output', 'x', '--queue', 'redis://a'],
    'expected both or none',
  ],
  [
    '--queue with --no-cache',
    ['reproduce', '--quick', '--no-cache', '--queue', 'redis://a', '--shards', 'x'],
    'expected a cache',
  ],
  [
    'a criterion of data sets',
    ['calibrate', '--output', 'x', '--queue', 'redis://a', '--shards', 'x', '--criteria', 'jacov'],
    'no jacov',
  ],
])('%s is refused', async (_, args, words) => {
  const result = await runCli(args)
  expect(result.code).toBe(2)
  expect(result.stderr).toContain(words)
  expect(result.stderr.split('\n')).toHaveLength(2)
})
