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
import type { BackendState, DoctorOutput } from '../../src/cli/commands/doctor.ts'
import type { ParityRunOutput } from '../../src/cli/commands/parity_run.ts'
import type { VerifyOutput } from '../../src/cli/commands/verify.ts'
import { root } from '../cli/run_cli.ts'
import { runSeed } from '../harness/seed.ts'
import { fewCases, inWords, otherCases, ownCases } from './same_cases.ts'

/** Deno from npm, which exists for Linux with glibc, macOS and Windows. */
const deno = join(root, 'node_modules/deno/bin.cjs')

const run = promisify(execFile)

/** What a command prints in Deno. */
async function runInDeno(...args: string[]): Promise<string> {
  const all = ['run', '-A', 'src/cli/main.ts', ...args]
  return (await run(deno, all, { cwd: root, maxBuffer: 2 ** 26 })).stdout
}

if (!existsSync(deno)) test.skip('the laws in Deno: npm has no Deno for this system', () => {})

test.skipIf(!existsSync(deno))(
  'in Deno the laws hold, on the cases of this process',
  { timeout: 300_000 },
  async () => {
    const { seed, runs } = fewCases('wasm')
    const flags = ['--backend', 'wasm', '--seed', `${seed}`, '--runs', `${runs}`, '--json']
    const stdout = await runInDeno('verify', ...flags)
    const { laws: there } = JSON.parse(stdout) as { laws: LawReport[] }
    expect(there.filter(({ passed }) => !passed)).toEqual([])
    expect(there).toHaveLength(suite.length)
    expect(otherCases(await ownCases(), there)).toEqual([])
    process.stdout.write(inWords('deno', there))
  },
)

// Deno waits 10 ms for each read of a device: few calls of each op, and a model.
test.skipIf(!existsSync(deno))(
  'in Deno every op on WebGPU, and a model, have the bits of the definitions, and laws of the engine hold',
  { timeout: 600_000 },
  async ({ skip }) => {
    const { backends } = JSON.parse(await runInDeno('doctor', '--json')) as DoctorOutput
    const { absent, set, device, reason } = backends.find(({ name }) => name === 'webgpu') as BackendState
    if (absent) skip(reason as string)
    const on = ['--backend', 'webgpu', '--seed', `${runSeed()}`, '--json']
    const model = ['-m', 'fixtures/golden/preln', '--small']
    const laws = ['--law', 'masks: ', '--runs', '0.01']
    // Side by side: both wait most of the time.
    const [compared, verified] = await Promise.all([
      runInDeno('parity', 'run', ...model, ...on),
      runInDeno('verify', ...laws, ...on),
    ])
    const parity = JSON.parse(compared) as ParityRunOutput
    expect(parity.ops.filter(({ passed }) => !passed)).toEqual([])
    expect(parity).toMatchObject({ passed: true, complete: true })
    expect((JSON.parse(verified) as VerifyOutput).passed).toBe(true)
    process.stdout.write(`deno, ${device}: ${parity.ops.length} ops and a model agree, ${set} set\n`)
  },
)
