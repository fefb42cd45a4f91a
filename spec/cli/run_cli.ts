/**
 * Runs the command line as a user does: a process of its own, its two outputs apart, neither of them a terminal.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

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
  /** Called with each piece of stdout; may send a signal to the process. */
  readonly onOutput?: (text: string, kill: (signal: NodeJS.Signals) => void) => void
  readonly env?: Readonly<Record<string, string>>
  readonly closeOutput?: boolean
}

/** Runs `shadowllm` with these arguments and waits for its end. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const child = spawn(process.execPath, ['src/cli/main.ts', ...args], {
    cwd: root,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    options.onOutput?.(text, (signal) => child.kill(signal))
    if (options.closeOutput) child.stdout.destroy()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}
