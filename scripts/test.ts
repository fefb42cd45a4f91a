/**
 * What `npm test`, `npm run test:full` and `npm run test:soak` run: type check, lint, format check, the laws of the tier
 * named first, and, in the full tier, some of the laws once more in Deno.
 *
 * Every step runs whatever became of the ones before it. The last line is `N passed, N failed, N skipped`, where a
 * step before the laws counts as one test; the exit code is 1 if anything failed. Further arguments go to vitest, and
 * then Deno is left out:
 *
 *   npm test -- spec/masks -t 'lower index'
 */
import { randomInt } from 'node:crypto'
import { type Counts, countingLine } from './count_reporter.ts'
import { findDeno } from './deno.ts'
import { runLaws, runLawsInDeno, runStep, type Step } from './steps.ts'
import { readTier } from '../spec/harness/tier.ts'

const steps: readonly Step[] = [
  { name: 'type check', script: 'typescript/bin/tsc', args: ['--project', '.'] },
  { name: 'lint', script: 'oxlint/bin/oxlint', args: ['--deny-warnings'] },
  { name: 'format', script: 'prettier/bin/prettier.cjs', args: ['--check', '--log-level=warn', '.'] },
]

/**
 * What a runtime could change: how files are read, what users import, and values from outside, in the quick tier. Laws of
 * numbers are drawn and digested in both runtimes by `spec/verify/runtimes.full.spec.ts`; `npm run test:deno` runs them all.
 */
const inDeno = [
  ...['io', 'library', 'golden'].map((chapter) => `spec/${chapter}/`),
  '--exclude=spec/io/{convert,hub}*',
]

const total: Counts = { passed: 0, failed: 0, skipped: 0 }
function add(counts: Counts): void {
  total.passed += counts.passed
  total.failed += counts.failed
  total.skipped += counts.skipped
}

const [tierName, ...args] = process.argv.slice(2)
const tier = readTier(tierName)
const env = {
  ...process.env,
  SHADOWLLM_TIER: tier,
  // Both runtimes draw the same cases.
  SHADOWLLM_SEED: process.env.SHADOWLLM_SEED || String(randomInt(2 ** 31)),
}
for (const step of steps) add(await runStep(step))
process.stdout.write('laws\n')
add(await runLaws({ args, env }))
if (tier === 'full' && args.length === 0) {
  process.stdout.write('laws in Deno\n')
  add(await runLawsInDeno(findDeno(), { args: inDeno, env: { ...env, SHADOWLLM_TIER: 'quick' } }))
}
process.stdout.write(`${countingLine(total)}\n`)
process.exitCode = total.failed > 0 ? 1 : 0
