#!/usr/bin/env node
/**
 * The command line's entry: one run in this process.
 */
import { runCommandLine } from './run.ts'
import { openSession } from './session.ts'

const session = openSession()
session.end(await runCommandLine(session))
