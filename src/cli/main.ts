#!/usr/bin/env node
/**
 * The command line's entry: one run in this process.
 */
import { canJoinVectors, environment } from '../platform/platform.ts'
import { runCommandLine } from './run.ts'
import { openSession } from './session.ts'

// Asked last: Deno allows no look at the environment by itself.
if (canJoinVectors() && environment('SHADOWLLM_WIDE') === 'on')
  (await import('../testing/wide_trial.ts')).allowWideIfAsked()
const session = openSession()
session.end(await runCommandLine(session))
