#!/usr/bin/env node
/**
 * The command line's entry: one run in this process.
 */
import { asksToJoinVectors } from '../platform/platform.ts'
import { runCommandLine } from './run.ts'
import { openSession } from './session.ts'

if (asksToJoinVectors()) (await import('../testing/wide_trial.ts')).allowWideIfAsked()
const session = openSession()
session.end(await runCommandLine(session))
