/**
 * How a bench ends that failed.
 */
import { describeFailure } from '../src/cli/failure.ts'
import { write } from '../src/platform/platform.ts'

/** Says what failed, as a command does. @returns the exit code */
export async function tellFailure(error: unknown): Promise<number> {
  const { line, exitCode } = describeFailure(error, false)
  if (line !== '') await write('stderr', `${line}\n`)
  return exitCode
}
