#!/usr/bin/env node
/**
 * The command line's entry. It listens for ctrl-C before it loads the commands, which takes longer than some of them run.
 */
import { commandArguments, setExitCode, write } from '../platform/platform.ts'
import { openSession } from './session.ts'

/** Where even that cannot be written, the exit code has to do. */
const complain = (text: string): Promise<void> => write('stderr', text).catch(() => {})

const session = openSession()
const { runCommandLine } = await import('./run.ts')
setExitCode(await runCommandLine(commandArguments(), session, complain))
