/**
 * Ctrl-C at any event of a run: 130 and one line if the work was interrupted, 0 if it was complete, no partial file, and a
 * second run ends like an uninterrupted one. Every command is interrupted inside this process, where the signal of its session is
 * aborted; one that prints and one that writes are interrupted by SIGINT and SIGTERM in a process of their own, because only there
 * the session makes one of the other. No signal kills a process, however late.
 *
 * Tests src/cli/session.ts, src/cli/run.ts and src/cli/failure.ts.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, promises, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Random } from '../../src/tensor/random.ts'
import { runSeed } from '../harness/seed.ts'
import type { Interrupt } from './interrupted.ts'
import { root, runCli, sendSignal, type CliResult } from './run_cli.ts'
import { runInside, type Moment } from './run_inside.ts'
import { stoppableCommands, type Stoppable } from './signal_cases.ts'
import { judgeEnd, type Whole } from './signal_judge.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-signals-'))
afterAll(() => rmSync(folder, { recursive: true }))

const commands = await stoppableCommands(folder)
const random = new Random(runSeed())

const entry = 'spec/cli/interrupted.ts'
const interruptEnv = (interrupt: Interrupt): Record<string, string> => ({
  SHADOWLLM_INTERRUPT: JSON.stringify(interrupt),
})

let places = 0
const newPlace = (name: string): string => join(folder, `${name}-${places++}`)

/** Temporary files beside a place or in it. */
function temporaries(place: string): string[] {
  const names = readdirSync(dirname(place), { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.startsWith(basename(place)) && name.endsWith('.tmp'))
}

/** A run that was interrupted at an event, and all its events. */
interface Run {
  readonly result: CliResult
  readonly events: readonly string[]
}

/** Runs a command that is interrupted at an event (0: at none): a stage of progress begins, text is printed, a file is renamed. */
type RunUntil = (args: readonly string[], at: number, signal?: NodeJS.Signals) => Promise<Run>

/** In a process, which sends itself the signal. */
const inProcess: RunUntil = async (args, at, signal = 'SIGINT') => {
  const log = newPlace('events')
  const result = await runCli(args, { entry, env: interruptEnv({ signal, at, log }) })
  return { result, events: JSON.parse(readFileSync(log, 'utf8')) as string[] }
}

/** Inside this process. */
const inside: RunUntil = async (args, at) => {
  const events: string[] = []
  const interrupt = new AbortController()
  const happens = (event: string): void => {
    events.push(event)
    if (events.length === at) interrupt.abort()
  }
  const stages = new Set<string>()
  const interruptWhen = ({ update }: Moment): boolean => {
    const event = update?.stage ?? 'print'
    if (update === null || !stages.has(event)) happens(event)
    stages.add(event)
    return false
  }
  const { rename } = promises
  promises.rename = (from, to) => {
    happens('file')
    return rename(from, to)
  }
  try {
    return { result: await runInside(args, { interruptWhen, interrupt }), events }
  } finally {
    promises.rename = rename
  }
}

/** A command that prints as it goes on, and one that writes many files. */
const ofEachKind = commands.filter(({ name }) => name === 'generate' || name === 'calibrate')

describe.each([
  ...commands.map((command) => ({ where: 'inside this process', runUntil: inside, ...command })),
  ...ofEachKind.map((command) => ({ where: 'in a process', runUntil: inProcess, ...command })),
])(
  '$name $where',
  ({ name, args, resultOf, prints, runUntil }: Stoppable & { readonly runUntil: RunUntil }) => {
    test('interrupted at its first event and at a random one, the command ends correctly and can be run again', async () => {
      const first = newPlace(name)
      const { result, events } = await runUntil(args(first), 0)
      expect([result.code, result.stderr]).toEqual([0, ''])
      const whole: Whole = { result: resultOf(first, result.stdout), stdout: result.stdout }
      expect(whole.result).not.toBe(null)

      let place = newPlace(name)
      /** Interrupts the run on this place. @returns whether its work was interrupted */
      const interruptedAt = async (at: number, signal: NodeJS.Signals, again: boolean): Promise<boolean> => {
        const ended = await runUntil(args(place, again), at, signal)
        const left = resultOf(place, ended.result.stdout)
        const end = { result: ended.result, left, files: temporaries(place) }
        return judgeEnd(end, whole, prints)
      }
      expect(await interruptedAt(1, 'SIGTERM', false), 'interrupted before its work').toBe(true)
      const drawn = 2 + random.below(events.length - 1)
      // The work was complete: the next run starts in another place.
      if (!(await interruptedAt(drawn, 'SIGINT', true))) place = newPlace(name)
      const again = await runUntil(args(place, true), 0)
      expect([again.result.code, again.result.stderr]).toEqual([0, ''])
      expect(resultOf(place, again.result.stdout)).toEqual(whole.result)
    }, 300_000)
  },
)

/** Runs a process to its exit handler, and sends it signals without a pause from there until it is gone. */
async function stormAtExit(signal: NodeJS.Signals): Promise<CliResult> {
  const log = newPlace('events')
  const env = interruptEnv({ signal, at: 'exit', log })
  const child = spawn(process.execPath, [entry, 'generate', 'The captain', '--max-tokens', '4', '--quiet'], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  let isOver = false
  const storm = (): void => {
    sendSignal(child, signal)
    if (!isOver) setImmediate(storm)
  }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    if (!stderr.endsWith('exit\n')) return
    storm()
    writeFileSync(`${log}.go`, '')
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', () => (isOver = true))
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

test('SIGHUP does not end a process without a terminal, as nohup leaves it', async () => {
  const args = ['generate', 'The captain', '--max-tokens', '60', '--quiet']
  const whole = await runCli(args)
  expect(await runCli(args, { interruptAtOutput: 'SIGHUP' })).toEqual(whole)
  expect(whole.code).toBe(0)
})

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s without a pause kills no process that has completed its work',
  async (signal) => {
    const whole = await runCli(['generate', 'The captain', '--max-tokens', '4', '--quiet'])
    expect(await stormAtExit(signal)).toEqual({ ...whole, stderr: 'exit\n' })
    expect(whole.code).toBe(0)
  },
)
