/**
 * What `npm test`, `npm run test:full` and the like run: type check, lint, format check and the laws of the tier, which is the
 * first argument. The tiers full and rest run some laws once more in Deno; rest has no steps but the laws.
 *
 * Every step runs even if another failed; the steps of tools run beside the laws, and are reported after them. The output ends
 * with what each folder of tests cost, each failure, `failed: <name>: <why>`, and the line `N passed, N failed, N skipped`, where
 * a tool counts as one test. The exit code is 1 if anything failed.
 * Further arguments go to vitest, and Deno is then left out:
 *
 *   npm test -- spec/masks -t 'lower index'
 */
import { randomInt } from 'node:crypto'
import { costTable } from './cost_table.ts'
import { type Counts, countingLine, noCounts } from './count_reporter.ts'
import { findDeno } from './deno.ts'
import { runLaws, runLawsInDeno, runStep, type Step } from './steps.ts'
import { readTier } from '../spec/harness/tier.ts'

const steps: readonly Step[] = [
  {
    name: 'type check',
    script: 'typescript/bin/tsc',
    args: ['--project', '.', '--incremental', '--tsBuildInfoFile', 'build/type_check.tsbuildinfo'],
  },
  { name: 'lint', script: 'oxlint/bin/oxlint', args: ['--deny-warnings'] },
  { name: 'format', script: 'oxfmt/bin/oxfmt', args: ['--check'] },
]

/**
 * The sections that depend on the runtime, in the quick tier: reading files, the library, golden values, the server; without files
 * that judge numbers, options, or what is made of bytes and texts in memory. `spec/verify/runtimes.full.spec.ts` compares laws of
 * numbers in both runtimes, on the same cases; `npm run test:deno` runs the whole quick tier.
 */
const inDeno = [
  ...['platform', 'io', 'golden', 'library', 'server'].map((section) => `spec/${section}/`),
  'spec/edges_of_numbers.spec.ts',
  '--exclude=spec/io/{absent_and_equivalent*,convert*,hub/**}',
  '--exclude=spec/io/{bounded_jinja,drawn_templates,pickle,torch_checkpoint,torch_legacy}.spec.ts',
  '--exclude=spec/golden/{specification,gradients,masks}.spec.ts',
  '--exclude=spec/library/{option_effects,session_file}.spec.ts',
  '--exclude=spec/server/{edges,harness_requests,writer}.spec.ts',
]

const total: Counts = noCounts()
function add(counts: Counts): void {
  total.passed += counts.passed
  total.failures.push(...counts.failures)
  total.skipped += counts.skipped
  total.costs.push(...counts.costs)
}

const [tierName, ...args] = process.argv.slice(2)
const tier = readTier(tierName)
const env = {
  ...process.env,
  SHADOWLLM_TIER: tier,
  // Both runtimes draw the same cases.
  SHADOWLLM_SEED: process.env.SHADOWLLM_SEED || String(randomInt(2 ** 31)),
}
const running = tier === 'rest' ? [] : steps.map(runStep)
process.stdout.write('laws\n')
add(await runLaws({ args, env }))
for (const { text, counts } of await Promise.all(running)) {
  process.stdout.write(text)
  add(counts)
}
if ((tier === 'full' || tier === 'rest') && args.length === 0) {
  process.stdout.write('laws in Deno\n')
  const counts = await runLawsInDeno(findDeno(), { args: inDeno, env: { ...env, SHADOWLLM_TIER: 'quick' } })
  add({ ...counts, costs: counts.costs.map((cost) => ({ ...cost, path: `Deno: ${cost.path}` })) })
}
process.stdout.write(costTable(total.costs))
for (const name of total.failures) process.stdout.write(`failed: ${name}\n`)
process.stdout.write(`${countingLine(total)}\n`)
process.exitCode = total.failures.length > 0 ? 1 : 0
