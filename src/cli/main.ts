#!/usr/bin/env node
/**
 * The command line's entry.
 */
import { commandArguments, setExitCode, write } from '../platform/platform.ts'
import { runCommandLine } from './run.ts'
import { openSession } from './session.ts'

setExitCode(await runCommandLine(commandArguments(), openSession(), (text) => write('stderr', text)))
