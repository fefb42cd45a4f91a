#!/usr/bin/env node
/**
 * The command line's entry.
 */
import { commandArguments, write } from '../platform/platform.ts'
import { runCommandLine } from './run.ts'
import { openSession } from './session.ts'

/** Where even that cannot be written, the exit code has to do. */
const complain = (text: string): Promise<void> => write('stderr', text).catch(() => {})

const session = openSession()
session.end(await runCommandLine(commandArguments(), session, complain))
