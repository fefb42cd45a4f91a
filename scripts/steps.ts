/**
 * The steps of `npm test`, each a process of its own: tools that pass or fail as one test, and the laws, which vitest counts
 * one by one.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { noCounts, type Counts } from './count_reporter.ts'
import type { Deno } from './deno.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** A tool that npm installed, and its arguments. It passes if it exits with 0. */
export interface Step {
  readonly name: string
  readonly script: string
  readonly args: readonly string[]
}

/** A program that runs JavaScript, and what it is told before the script. */
export interface Runner {
  readonly program: string
  readonly options: readonly string[]
}

/** What runs this. */
export const thisRuntime: Runner = { program: process.execPath, options: [] }

interface Outcome {
  readonly code: number
  readonly output: string
  readonly counts: Counts | null
}

interface RunOptions {
  /** Whether its output goes straight to ours, and is not kept. */
  readonly live: boolean
  readonly env?: NodeJS.ProcessEnv
}

/** Runs a script of a package; it may send counts. */
function run(
  { program, options }: Runner,
  script: string,
  args: readonly string[],
  { live, env }: RunOptions,
): Promise<Outcome> {
  const stdio = live ? 'inherit' : 'pipe'
  const child = spawn(program, [...options, `node_modules/${script}`, ...args], {
    cwd: root,
    env,
    stdio: ['inherit', stdio, stdio, 'ipc'],
  })
  let output = ''
  let counts: Counts | null = null
  child.stdout?.on('data', (text) => (output += text))
  child.stderr?.on('data', (text) => (output += text))
  child.on('message', (message) => (counts = message as Counts))
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: 1, output: `${output}${error.message}\n`, counts }))
    child.on('close', (code) => resolve({ code: code ?? 1, output, counts }))
  })
}

/** How a tool went. */
export interface StepResult {
  /** A line that says so, and the output of the tool if it failed. */
  readonly text: string
  /** Of one test. */
  readonly counts: Counts
}

/** Runs a tool under this runtime, and counts it as one test. */
export async function runStep({ name, script, args }: Step): Promise<StepResult> {
  const start = performance.now()
  const { code, output } = await run(thisRuntime, script, args, { live: false })
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const failed = code !== 0
  return {
    text: `${name.padEnd(12)}${failed ? 'FAILED' : 'ok'}  ${seconds} s\n${failed ? output : ''}`,
    counts: { ...noCounts(), passed: failed ? 0 : 1, failures: failed ? [name] : [] },
  }
}

/** How the laws are run. */
export interface LawOptions {
  /** For vitest: which laws, and how. */
  readonly args: readonly string[]
  readonly runner?: Runner
  readonly env?: NodeJS.ProcessEnv
  /** Whether vitest's report is shown; default true. */
  readonly live?: boolean
}

/** Runs laws in vitest and counts them. */
export async function runLaws({ args, runner = thisRuntime, env, live = true }: LawOptions): Promise<Counts> {
  const reporters = ['--reporter=default', '--reporter=./scripts/count_reporter.ts']
  const all = ['run', ...reporters, ...args]
  const { code, counts } = await run(runner, 'vitest/vitest.mjs', all, { live, env })
  const total = counts ?? noCounts()
  // vitest also fails where no test did (no file matched, a crash): that must not read as a clean run.
  return code !== 0 && total.failures.length === 0
    ? { ...total, failures: [`the laws ended with exit code ${code}`] }
    : total
}

/** The same in Deno; where there is none this says why, and counts as one test that was skipped. */
export async function runLawsInDeno(deno: Deno, options: Omit<LawOptions, 'runner'>): Promise<Counts> {
  if ('missing' in deno) {
    process.stdout.write(`skipped: ${deno.missing}\n`)
    return { ...noCounts(), skipped: 1 }
  }
  return runLaws({ ...options, runner: { program: deno.program, options: ['run', '-A'] } })
}
