/**
 * The whole suite on WebGPU with all its cases, in each runtime that has it: in Node and in Deno on the adapter of this machine, and in
 * Chromium, which has SwiftShader where there is no GPU. Each takes some minutes up to half an hour on a processor; SHADOWLLM_SOAK=0.1
 * tries a tenth of the cases.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { suite, type LawReport } from '../../../src/verify/index.ts'
import { root } from '../../cli/run_cli.ts'
import { runSeed, scaledRuns } from '../../harness/seed.ts'
import { inWords } from '../../verify/same_cases.ts'
import type { Part } from '../../verify/part_of_suite.ts'
import { chromiumPath, startChromium, withoutChromium } from '../../web/chromium.ts'
import { LawPage } from '../../web/law_page.ts'
import { whyNoAdapter } from './device.ts'

/** Deno from npm, which has none for some systems. */
const deno = join(root, 'node_modules/deno/bin.cjs')

const sets = ['webgpu', 'webgpu-fast'] as const
const runs = scaledRuns(1000 * Number(process.env.SHADOWLLM_SOAK || 1)) / 1000
const timeout = 2 * 3_600_000

/** Runs the suite in parts, side by side: whoever reads from a device waits, in Deno 10 ms each time. */
async function inParts(
  of: number,
  run: (share: NonNullable<Part['share']>) => Promise<LawReport[]>,
): Promise<LawReport[]> {
  return (await Promise.all(Array.from({ length: of }, (_, part) => run([part, of])))).flat()
}

/** States that every law was tried on this backend, and no other one, and holds. */
function expectAll(place: string, backend: string, reports: readonly LawReport[]): void {
  expect(reports.filter(({ passed }) => !passed)).toEqual([])
  const sentences = suite.map(({ sentence }) => sentence).toSorted()
  expect(reports.map(({ law }) => law).toSorted()).toEqual(sentences)
  expect(new Set(reports.map((report) => report.backend))).toEqual(new Set([backend, 'none']))
  process.stdout.write(inWords(place, reports))
}

/** Runs a part in a process. */
async function inProcess(
  program: string,
  flags: readonly string[],
  args: readonly unknown[],
): Promise<LawReport[]> {
  const all = [...flags, 'spec/verify/laws_program.ts', ...args.map(String)]
  const { stdout } = await promisify(execFile)(program, all, { cwd: root, maxBuffer: 2 ** 26 })
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as LawReport)
}

describe.skipIf(whyNoAdapter !== null)('every law holds', () => {
  test.each(sets)('on %s in Node', { timeout }, async (backend) => {
    const reports = await inParts(1, (share) =>
      inProcess(process.execPath, process.execArgv, [backend, ...share, runs, runSeed()]),
    )
    expectAll('node', backend, reports)
  })

  test.skipIf(!existsSync(deno)).each(sets)('on %s in Deno', { timeout }, async (backend) => {
    const reports = await inParts(9, (share) =>
      inProcess(deno, ['run', '-A'], [backend, ...share, runs, runSeed()]),
    )
    expectAll('deno', backend, reports)
  })
})

describe.skipIf(chromiumPath === null)(`every law holds in a page${withoutChromium}`, () => {
  test.each(sets)('on %s', { timeout }, async (backend) => {
    const page = await LawPage.build()
    const browser = await startChromium({ webgpu: true })
    try {
      const reports = await inParts(2, async (share) => {
        const task = { backends: [backend], seed: runSeed(), runs, share }
        const { result, said } = await page.runLaws(browser, true, task)
        expect(said).toEqual([])
        return result
      })
      expectAll(`chromium ${browser.version()}`, backend, reports)
    } finally {
      await browser.close()
      page.remove()
    }
  })
})
