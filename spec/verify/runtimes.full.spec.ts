/**
 * The laws hold in Deno too, on the same cases: the report of the command line in Deno is compared with that of this process.
 * spec/web/verify_browser.full.spec.ts does the same with a page.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { suite, type LawReport } from '../../src/verify/index.ts'
import { root } from '../cli/run_cli.ts'
import { fewCases, inWords, otherCases, runHere } from './same_cases.ts'

/** Deno from npm, which exists for Linux with glibc, macOS and Windows. */
const deno = join(root, 'node_modules/deno/bin.cjs')

const run = promisify(execFile)

if (!existsSync(deno)) test.skip('the laws in Deno: npm has no Deno for this system', () => {})

test.skipIf(!existsSync(deno))(
  'in Deno the laws hold, on the cases of this process',
  { timeout: 300_000 },
  async () => {
    const { seed, runs } = fewCases('wasm')
    const flags = ['--backend', 'wasm', '--seed', `${seed}`, '--runs', `${runs}`, '--json']
    const { stdout } = await run(deno, ['run', '-A', 'src/cli/main.ts', 'verify', ...flags], {
      cwd: root,
      maxBuffer: 2 ** 26,
    })
    const { laws: there } = JSON.parse(stdout) as { laws: LawReport[] }
    expect(there.filter(({ passed }) => !passed)).toEqual([])
    expect(there).toHaveLength(suite.length)
    expect(otherCases(await runHere(fewCases('wasm')), there)).toEqual([])
    process.stdout.write(inWords('deno', there))
  },
)
