#!/usr/bin/env node
/**
 * The command line's entry: one run in this process.
 */
import { allowWideIfAsked } from '../testing/wide_trial.ts'
import { runCommandLine } from './run.ts'
import { openSession } from './session.ts'

allowWideIfAsked()
const session = openSession()
session.end(await runCommandLine(session))
