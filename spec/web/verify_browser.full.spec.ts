/**
 * The laws in a page of a real browser: every one of them, those between engine and specification included, holds there on the
 * cases of this process, whether or not the page is isolated so that its threads may share memory, and under a policy that
 * evaluates no text. And WebGPU of that browser: whatever its adapter makes of subnormal numbers, all else has the definitions' bits.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { build } from 'vite'
import type { Browser } from 'playwright-core'
import { diskOnly } from '../../scripts/vite_page.ts'
import { kernelNames } from '../../src/ops/catalog.ts'
import { NO_BACKEND, type LawReport, type VerifyOptions } from '../../src/verify/index.ts'
import { engineLaws } from '../../src/verify/model/engine_laws.ts'
import { runSeed } from '../harness/seed.ts'
import { fewCases, inWords, otherCases, ownCases } from '../verify/same_cases.ts'
import { chromiumPath, startChromium, watchPage, withoutChromium } from './chromium.ts'
import { serveFolder } from './static_server.ts'
import type { OpFound, ParityFound, ParityTask } from './verify_page/parity.ts'

/** What was found on one backend, with what looks at none. */
function onBackend(reports: readonly LawReport[], name: string): LawReport[] {
  return reports.filter(({ backend }) => backend === name || backend === NO_BACKEND)
}

/** Packs the page into a folder. */
async function pack(folder: string): Promise<void> {
  await build({
    configFile: false,
    logLevel: 'warn',
    root: fileURLToPath(new URL('verify_page', import.meta.url)),
    base: './',
    plugins: [diskOnly()],
    worker: { format: 'es', plugins: () => [diskOnly()] },
    build: { outDir: folder, emptyOutDir: true, target: 'es2024', assetsInlineLimit: 0 },
  })
}

/** What a page gave back, and all it said besides. */
interface PageRun {
  readonly reports: LawReport[]
  readonly isolated: boolean
  readonly said: string[]
}

async function runInPage(browser: Browser, url: string, options: VerifyOptions): Promise<PageRun> {
  const page = await browser.newPage()
  const said = watchPage(page)
  try {
    await page.goto(url)
    const isolated = await page.evaluate(() => globalThis.crossOriginIsolated)
    const reports = await page.evaluate<LawReport[]>(`runLaws(${JSON.stringify(options)})`)
    return { reports, isolated, said: [...said.lines, ...said.faults] }
  } finally {
    await page.close()
  }
}

function parityInWords({ name, notExact, device, ops }: ParityFound): string {
  const sum = (calls: (one: OpFound) => number): number => ops.reduce((total, one) => total + calls(one), 0)
  const why = notExact === null ? '' : ` (${notExact})`
  const counts = `${sum(({ equal }) => equal)} calls agree, ${sum(({ subnormal }) => subnormal)} differ by subnormal numbers`
  return `${name} on ${device}${why}: ${counts}`
}

describe.skipIf(chromiumPath === null)(`in a page${withoutChromium}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-verify-page-'))
  let browser: Browser
  beforeAll(async () => {
    await pack(folder)
    browser = await startChromium()
  }, 300_000)
  afterAll(async () => {
    await browser?.close()
    rmSync(folder, { recursive: true })
  })

  test.each([
    { isolated: true, backends: ['wasm', 'wasm-relaxed'] },
    { isolated: false, backends: ['wasm'] },
  ])(
    'the laws hold, isolated: $isolated, on the cases of this process',
    { timeout: 300_000 },
    async ({ isolated, backends }) => {
      const server = await serveFolder(folder, isolated)
      try {
        const run = await runInPage(browser, server.url, fewCases(...backends))
        expect([run.said, run.isolated]).toEqual([[], isolated])
        expect(run.reports.filter(({ passed }) => !passed)).toEqual([])
        const ofEngine = run.reports.filter(({ chapter }) => chapter === 'specification')
        const sentences = Object.values(engineLaws).map(({ sentence }) => sentence)
        expect(ofEngine.map(({ law }) => law)).toEqual(backends.flatMap(() => sentences))
        const here = await ownCases()
        for (const name of backends) expect(otherCases(here, onBackend(run.reports, name))).toEqual([])
        process.stdout.write(inWords(`chromium ${browser.version()}`, run.reports))
      } finally {
        await server.close()
      }
    },
  )

  test.for(['exact', 'own'] as const)(
    'WebGPU in the page, with its %s kernels, has the numbers that it owes, but where one is subnormal',
    { timeout: 300_000 },
    async (kernels, { skip }) => {
      const server = await serveFolder(folder, true)
      const withGpu = await startChromium({ webgpu: true })
      try {
        const task: ParityTask = { kernels, families: ['opt', 'llama'], seed: runSeed() }
        const page = await withGpu.newPage()
        const said = watchPage(page)
        await page.goto(server.url)
        const found = await page
          .evaluate<ParityFound>(`findParity(${JSON.stringify(task)})`)
          .catch((error: Error) => {
            if (/\[GPU_MISSING\]/.test(error.message)) skip(error.message)
            throw error
          })
        expect([...said.lines, ...said.faults]).toEqual([])
        expect(found.models.map(({ passed }) => passed)).toEqual([true, true])
        expect(found.ops.map(({ op }) => op)).toEqual(kernelNames)
        // This adapter owes no bits: it flushes. Each difference is explained by that.
        expect(found.ops.filter(({ equal, wrong }) => equal === 0 || wrong.length > 0)).toEqual([])
        process.stdout.write(`chromium ${withGpu.version()}, ${parityInWords(found)}\n`)
      } finally {
        await withGpu.close()
        await server.close()
      }
    },
  )

  test('a page names the backends it cannot run', { timeout: 300_000 }, async () => {
    const server = await serveFolder(folder, false)
    try {
      const broken = runInPage(browser, server.url, { backends: ['cuda'], seed: 1 })
      await expect(broken).rejects.toThrow(/cuda: .* \[CUDA_DRIVER\]/)
    } finally {
      await server.close()
    }
  })
})
