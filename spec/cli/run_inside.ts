/**
 * Runs the command line inside this process: what a process of its own prints, writes and ends with, a hundred times as fast.
 *
 * Arguments and environment belong to the process, so runs happen one after the other, and each must leave the process as it
 * was: no test depends on what ran before it.
 */
import { runCommandLine } from '../../src/cli/run.ts'
import type { ProgressUpdate } from '../../src/cli/progress.ts'
import type { Session } from '../../src/cli/session.ts'
import type { CliResult } from './run_cli.ts'

/** What runs a command line. */
export type Run = (args: readonly string[]) => Promise<CliResult>

/** What a command has done so far. */
export interface Moment {
  /** How far it says that it is; null where it prints. */
  readonly update: ProgressUpdate | null
  /** All that it has printed. */
  readonly stdout: string
}

/** Of a run inside this process. */
export interface InsideOptions {
  /** Variables of the environment, beside those of the tests. */
  readonly env?: Readonly<Record<string, string>>
  /** Whether ctrl-C is pressed now. Asked whenever the command prints or says how far it is. */
  readonly interruptWhen?: (moment: Moment) => boolean
  /** What presses ctrl-C at any other moment. */
  readonly interrupt?: AbortController
}

/** A session whose output is kept, and that nobody interrupts. */
export function quietSession(print: (text: string) => void): Session {
  return {
    signal: new AbortController().signal,
    progress: { update: () => {}, clear: () => {} },
    print: async (text) => print(text),
    quieten: () => {},
    exitCode: 0,
  }
}

let last: Promise<unknown> = Promise.resolve()

/**
 * Runs `shadowllm` with these arguments, once earlier runs are over.
 * @throws Error if the run leaves the process other than it was
 */
export function runInside(args: readonly string[], options: InsideOptions = {}): Promise<CliResult> {
  const result = last.then(() =>
    leavingTheProcess(`shadowllm ${args.join(' ')}`, () => runAlone(args, options)),
  )
  last = result.catch(() => {})
  return result
}

async function runAlone(args: readonly string[], options: InsideOptions): Promise<CliResult> {
  const { env = {}, interruptWhen = () => false, interrupt = new AbortController() } = options
  let [stdout, stderr] = ['', '']
  const look = (update: ProgressUpdate | null): void => {
    if (interruptWhen({ update, stdout })) interrupt.abort()
  }
  const session: Session = {
    ...quietSession((text) => {
      stdout += text
      look(null)
    }),
    signal: interrupt.signal,
    progress: { update: look, clear: () => {} },
  }
  const [argv, before] = [process.argv, { ...process.env }]
  process.argv = [...argv.slice(0, 2), ...args]
  Object.assign(process.env, env)
  try {
    const code = await runCommandLine(args, session, async (text) => void (stderr += text))
    return { code, stdout, stderr }
  } finally {
    process.argv = argv
    for (const name of Object.keys(env)) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  }
}

/** What a run may not change of the process, by name. */
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
 * Runs something that must leave the process as it was.
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
    throw new Error(`${name}: expected the process as it was, got other: ${changed.join()}`)
  return result
}
