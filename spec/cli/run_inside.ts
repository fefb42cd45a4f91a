/**
 * Runs the command line inside this process: its arguments, streams and ctrl-C are those of a session. Output, files and exit
 * code are those of a process of its own, a hundred times as fast.
 *
 * Runs are sequential, because the library reads variables of the hub and of queues from the environment of the process. Each
 * must leave the process unchanged: no test depends on earlier ones.
 */
import { ReadSpeed } from '../../src/bench/read_speed.ts'
import { runCommandLine } from '../../src/cli/run.ts'
import type { ProgressUpdate } from '../../src/cli/progress.ts'
import { plainScreen, type Screen } from '../../src/cli/screen.ts'
import { openTerminal } from '../../src/cli/terminal.ts'
import type { Session } from '../../src/cli/session.ts'
import { checkOutput } from './json_schema.ts'
import type { CliResult } from './run_cli.ts'

/** What runs a command line. */
export type Run = (args: readonly string[]) => Promise<CliResult>

/** The state of a running command. */
export interface Moment {
  /** Its progress; null if it prints. */
  readonly update: ProgressUpdate | null
  /** All of its output so far. */
  readonly stdout: string
}

/** Options of a run inside this process. */
export interface InsideOptions {
  /** Variables of the environment, beside those of the tests. */
  readonly env?: Readonly<Record<string, string>>
  /** The terminal that it prints to; a pipe by default. */
  readonly screen?: Screen
  /** The lines of standard input; none by default. */
  readonly input?: readonly string[]
  /** Whether ctrl-C is pressed now. Called whenever the command prints or reports progress. */
  readonly interruptWhen?: (moment: Moment) => boolean
  /** Aborting it presses ctrl-C at any other moment. */
  readonly interrupt?: AbortController
}

/** How a session writes. */
interface Writing {
  /** Takes what is written to stderr. */
  readonly complain?: (text: string) => void
  /** What stdout is; a pipe by default. */
  readonly screen?: Screen
}

/** A session that is never interrupted, without variables of the environment. @param print takes what is written to stdout */
export function quietSession(
  print: (text: string) => void,
  args: readonly string[] = [],
  { complain = () => {}, screen = plainScreen }: Writing = {},
): Session {
  const terminal = openTerminal({
    write: async (output, text) => (output === 'stdout' ? print(text) : complain(text)),
    isTerminal: (output) => output === 'stdout' && screen !== plainScreen,
    screen: () => screen,
    columns: () => 80,
    now: () => performance.now(),
  })
  return {
    ...terminal,
    args,
    environment: () => undefined,
    signal: new AbortController().signal,
    lines: () => ({ isTerminal: false, next: async () => null, close: () => {} }),
    takeInterrupts: () => () => {},
    joinVectors: () => {},
    exitCode: 0,
  }
}

let last: Promise<unknown> = Promise.resolve()

/**
 * Runs `shadowllm` with these arguments, once earlier runs have ended.
 * @throws Error if the run changes the process
 */
export function runInside(args: readonly string[], options: InsideOptions = {}): Promise<CliResult> {
  const result = last.then(() =>
    leavingTheProcess(`shadowllm ${args.join(' ')}`, () => runAlone(args, options)),
  )
  last = result.catch(() => {})
  return result
}

/** Runs a command that must succeed without a word on stderr. @returns its JSON */
export async function runJson(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runInside([...args, '--json'])
  if (code !== 0 || stderr !== '')
    throw new Error(`shadowllm ${args.join(' ')}: expected 0, got ${code}: ${stderr}`)
  return JSON.parse(stdout) as Record<string, unknown>
}

/** Runs something in which the speed of memory is measured with a mebibyte: no test depends on it, and a bench reads hundreds. */
export async function readingLittle<T>(work: () => Promise<T>): Promise<T> {
  const { open } = ReadSpeed
  ReadSpeed.open = () => open.call(ReadSpeed, 2 ** 20)
  try {
    return await work()
  } finally {
    ReadSpeed.open = open
  }
}

async function runAlone(args: readonly string[], options: InsideOptions): Promise<CliResult> {
  const { env = {}, input = [], interruptWhen = () => false, interrupt = new AbortController() } = options
  let [stdout, stderr] = ['', '']
  const look = (update: ProgressUpdate | null): void => {
    if (interruptWhen({ update, stdout })) interrupt.abort()
  }
  const print = (text: string): void => {
    stdout += text
    look(null)
  }
  const session: Session = {
    ...quietSession(print, args, { complain: (text) => void (stderr += text), screen: options.screen }),
    environment: (name) => env[name] ?? process.env[name],
    signal: interrupt.signal,
    progress: { update: look, clear: () => {} },
    lines: () => {
      const rest = [...input]
      return { isTerminal: false, next: async () => rest.shift() ?? null, close: () => {} }
    },
  }
  // The library reads its own variables from the process.
  const before = { ...process.env }
  Object.assign(process.env, env)
  try {
    const code = await readingLittle(() => runCommandLine(session))
    checkOutput(args, stdout)
    return { code, stdout, stderr }
  } finally {
    for (const name of Object.keys(env)) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  }
}

/** The state of the process that a run may not change, by name. */
function stateOfProcess(): Map<string, unknown> {
  return new Map<string, unknown>([
    ['the arguments', process.argv.join(' ')],
    ['the exit code', process.exitCode],
    ['the working folder', process.cwd()],
    ...Object.entries(process.env).map(([name, value]) => [`the variable ${name}`, value] as const),
    ...process
      .eventNames()
      .map((name) => [`the listeners of ${String(name)}`, process.listenerCount(name)] as const),
  ])
}

/**
 * Runs something that must leave the process unchanged.
 * @throws Error that names what it changed
 */
export async function leavingTheProcess<T>(name: string, work: () => Promise<T>): Promise<T> {
  const before = stateOfProcess()
  const result = await work()
  const after = stateOfProcess()
  const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
    (what) => before.get(what) !== after.get(what),
  )
  if (changed.length > 0)
    throw new Error(`${name}: expected no change of the process, got one of ${changed.join()}`)
  return result
}
