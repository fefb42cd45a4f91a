/**
 * Runs the command line as a user does: a process of its own, its two outputs apart, neither of them a terminal.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { thisRuntime, type Runner } from '../../scripts/steps.ts'

/** The top of the checkout, where commands run. */
export const root: string = fileURLToPath(new URL('../../', import.meta.url))

/** The embedded model's small cousins: random, quick to load, without a tokenizer. */
export const tinyFolder = 'fixtures/golden/preln'

export interface CliResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CliOptions {
  /** Sends a ctrl-C at the first output, or another signal. */
  readonly interruptAtOutput?: boolean | NodeJS.Signals
  /** Sends a ctrl-C as soon as this is true. */
  readonly interruptWhen?: () => boolean
  /** Kills the process with SIGKILL as soon as this is true. */
  readonly killWhen?: () => boolean
  /** Closes the reading end of stdout at the first output. */
  readonly closeOutput?: boolean
  /** The script; default: the command line itself. */
  readonly entry?: string
  /** What runs it; default: what runs this. */
  readonly runner?: Runner
  /** Variables of the environment, beside those of the tests. */
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Sends a signal to a process that may be over. Not by its own `kill`: once that was called, Deno takes whatever the process
 * ends with for the signal.
 */
export function sendSignal({ pid, exitCode, signalCode }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Runs `shadowllm` with these arguments and waits for its end. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const { program, options: flags } = options.runner ?? thisRuntime
  const child = spawn(program, [...flags, options.entry ?? 'src/cli/main.ts', ...args], {
    cwd: root,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const { interruptAtOutput: signal = false } = options
    if (stdout === '' && signal !== false) sendSignal(child, signal === true ? 'SIGINT' : signal)
    stdout += text
    if (options.closeOutput) child.stdout.destroy()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const { interruptWhen, killWhen } = options
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const signal = killWhen?.() ? 'SIGKILL' : interruptWhen?.() ? 'SIGINT' : null
      if (signal === null) return
      sendSignal(child, signal)
      clearInterval(timer)
    }
    // What a condition throws fails the test that passed it.
    const timer = setInterval(
      () => {
        try {
          look()
        } catch (error) {
          clearInterval(timer)
          sendSignal(child, 'SIGKILL')
          reject(error as Error)
        }
      },
      killWhen ? 1 : 20,
    )
    child.on('error', reject)
    child.on('close', (code) => {
      clearInterval(timer)
      resolve({ code, stdout, stderr })
    })
  })
}
