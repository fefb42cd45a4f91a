/**
 * Runs the command line inside this process: what a process of its own prints and ends with, a hundred times as fast.
 */
import { runCommandLine } from '../../src/cli/run.ts'
import type { Session } from '../../src/cli/session.ts'
import type { CliResult } from './run_cli.ts'

/** What runs a command line. */
export type Run = (args: readonly string[]) => Promise<CliResult>

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

/** Runs `shadowllm` with these arguments. */
export const runInside: Run = async (args) => {
  let stdout = ''
  let stderr = ''
  const session = quietSession((text) => (stdout += text))
  const code = await runCommandLine(args, session, async (text) => void (stderr += text))
  return { code, stdout, stderr }
}
