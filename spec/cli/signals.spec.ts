/**
 * Ctrl-C and the request to end, at any moment: 130, one line, nothing half-written, and a second run ends as if there had
 * been no first one.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Random } from '../../src/tensor/random.ts'
import { runSeed } from '../harness/seed.ts'
import { runCli, type CliResult } from './run_cli.ts'
import { stoppableCommands, type Stoppable } from './signal_cases.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-signals-'))
afterAll(() => rmSync(folder, { recursive: true }))

const commands = await stoppableCommands(folder)
const random = new Random(runSeed())

/** What a run that nobody stopped is like. */
interface Whole {
  readonly result: unknown
  readonly stdout: string
  readonly milliseconds: number
}

/** How a run ended, and what it left. */
interface Ended {
  readonly result: CliResult
  readonly left: unknown
  readonly files: readonly string[]
}

let places = 0
const newPlace = (name: string): string => join(folder, `${name}-${places++}`)

/** Temporary files beside a place or in it. */
function temporaries(place: string): string[] {
  const names = readdirSync(dirname(place), { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.startsWith(basename(place)) && name.endsWith('.tmp'))
}

async function runWhole({ args, resultOf, name }: Stoppable): Promise<Whole> {
  const place = newPlace(name)
  const start = performance.now()
  const { code, stdout, stderr } = await runCli(args(place))
  expect([code, stderr]).toEqual([0, ''])
  const result = resultOf(place, stdout)
  expect(result).not.toBe(null)
  return { result, stdout, milliseconds: performance.now() - start }
}

/**
 * Whether a run ended as one that is stopped has to, or was done before that.
 * @returns whether it was stopped
 */
function judge(
  { result: { code, stdout, stderr }, left, files }: Ended,
  whole: Whole,
  prints: Stoppable['prints'],
): boolean {
  expect(stdout).not.toMatch(/^ {4}at /m)
  expect(files, 'temporary files').toEqual([])
  if (code === 0) {
    expect([stderr, left]).toEqual(['', whole.result])
    return false
  }
  // A signal that comes before the first line of the program is for the system to answer.
  if (code === null) {
    expect([stdout, stderr]).toEqual(['', ''])
    return false
  }
  expect([code, stderr]).toEqual([130, 'shadowllm: interrupted [INTERRUPTED]\n'])
  if (prints === 'beginning') expect(whole.stdout.startsWith(stdout.trimEnd())).toBe(true)
  return true
}

describe.each(commands)('$name', (command) => {
  const signals = ['SIGINT', 'SIGTERM'] as const

  test('ends as it should, whenever it is stopped, and can be done again', async () => {
    const { name, args, resultOf, prints } = command
    const whole = await runWhole(command)
    let stopped = 0
    let place = newPlace(name)
    // Moments of the whole run, one in each part of it; more of them until one was heard.
    for (let turn = 0; turn < signals.length || (stopped === 0 && turn < 6); turn++) {
      const share = ((turn % 2) + random.uniform()) / 2 / (turn < 2 ? 1 : 2)
      const signalAfter = { signal: signals[turn % 2], milliseconds: share * whole.milliseconds }
      const result = await runCli(args(place, turn > 0), { signalAfter })
      const ended = { result, left: resultOf(place, result.stdout), files: temporaries(place) }
      if (judge(ended, whole, prints)) stopped++
      // It was done before: the next one begins anew.
      if (result.code === 0) place = newPlace(name)
    }
    expect(stopped, 'runs that were stopped').toBeGreaterThan(0)
    const again = await runCli(args(place, true))
    expect([again.code, again.stderr]).toEqual([0, ''])
    expect(resultOf(place, again.stdout)).toEqual(whole.result)
  })
})

describe('planted in how a command stops, these are found', () => {
  const whole: Whole = { result: 'all', stdout: 'a text\n', milliseconds: 1 }
  const stopped: Ended = {
    result: { code: 130, stdout: 'a\n', stderr: 'shadowllm: interrupted [INTERRUPTED]\n' },
    left: null,
    files: [],
  }
  test('a good end is none of them', () => expect(judge(stopped, whole, 'beginning')).toBe(true))

  const { result } = stopped
  test.each<[string, Ended]>([
    ['another exit code', { ...stopped, result: { ...result, code: 1 } }],
    ['an end that says it is done', { ...stopped, result: { ...result, code: 0 } }],
    ['a second line', { ...stopped, result: { ...result, stderr: `${result.stderr}bye\n` } }],
    ['a stack', { ...stopped, result: { ...result, stdout: 'a\n    at main.ts:1:1\n' } }],
    ['another text', { ...stopped, result: { ...result, stdout: 'b\n' } }],
    ['a temporary file', { ...stopped, files: ['report.json.1-00000000-0.tmp'] }],
    ['words of a process that was killed', { ...stopped, result: { ...result, code: null } }],
  ])('%s', (_, ended) => {
    expect(() => judge(ended, whole, 'beginning')).toThrow()
  })
})
