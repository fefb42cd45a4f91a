#!/usr/bin/env node
/**
 * The command line's entry: runs one command and turns whatever it ends with into an exit code and at most one line.
 */
import { commandArguments, setExitCode, write } from '../platform/platform.ts'
import { describeFailure } from './failure.ts'
import { makeProgram } from './program.ts'
import { openSession } from './session.ts'
import { version } from './version.ts'

async function main(args: string[]): Promise<number> {
  const session = openSession()
  try {
    await makeProgram(session, version).parseAsync(args, { from: 'user' })
    return session.exitCode
  } catch (error) {
    session.progress.clear()
    const { line, exitCode } = describeFailure(error, session.signal.aborted)
    if (line !== '') await write('stderr', `${line}\n`)
    if (args.includes('--debug') && exitCode !== 0 && error instanceof Error)
      await write('stderr', `${error.stack}\n`)
    return exitCode
  }
}

setExitCode(await main(commandArguments()))
