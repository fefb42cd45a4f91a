/**
 * What `npm test` runs: type check, lint, format check, then the laws.
 *
 * Every step runs whatever became of the ones before it. The last line is `N passed, N failed, N skipped`, where a
 * step before the laws counts as one test; the exit code is 1 if anything failed. Arguments go to vitest:
 *
 *   npm test -- spec/masks -t 'lower index'
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Counts, countingLine } from './count_reporter.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** A tool that npm installed, and its arguments. It passes if it exits with 0. */
interface Step {
  name: string
  script: string
  args: string[]
}

const steps: Step[] = [
  { name: 'type check', script: 'typescript/bin/tsc', args: ['--project', '.'] },
  { name: 'lint', script: 'oxlint/bin/oxlint', args: ['--deny-warnings'] },
  { name: 'format', script: 'prettier/bin/prettier.cjs', args: ['--check', '--log-level=warn', '.'] },
]

interface Outcome {
  code: number
  output: string
  counts: Counts | null
}

/** Runs a tool under this Node; with `live` its output goes straight to ours and it may send counts. */
function runTool(script: string, args: string[], live: boolean): Promise<Outcome> {
  const stdio = live ? 'inherit' : 'pipe'
  const child = spawn(process.execPath, [`node_modules/${script}`, ...args], {
    cwd: root,
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

async function runStep({ name, script, args }: Step): Promise<Counts> {
  const start = performance.now()
  const { code, output } = await runTool(script, args, false)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const failed = code !== 0
  process.stdout.write(`${name.padEnd(12)}${failed ? 'FAILED' : 'ok'}  ${seconds} s\n${failed ? output : ''}`)
  return { passed: failed ? 0 : 1, failed: failed ? 1 : 0, skipped: 0 }
}

async function runLaws(args: string[]): Promise<Counts> {
  process.stdout.write('laws\n')
  const reporters = ['--reporter=default', '--reporter=./scripts/count_reporter.ts']
  const { code, counts } = await runTool('vitest/vitest.mjs', ['run', ...reporters, ...args], true)
  const total = counts ?? { passed: 0, failed: 0, skipped: 0 }
  // vitest also fails where no test did (no file matched, a crash): that must not read as a clean run.
  return code !== 0 && total.failed === 0 ? { ...total, failed: 1 } : total
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 }
function add(counts: Counts): void {
  total.passed += counts.passed
  total.failed += counts.failed
  total.skipped += counts.skipped
}

for (const step of steps) add(await runStep(step))
add(await runLaws(process.argv.slice(2)))
process.stdout.write(`${countingLine(total)}\n`)
process.exitCode = total.failed > 0 ? 1 : 0
