/**
 * The laws in a page of a real browser: every one of them, those between engine and specification included, holds there on the
 * cases of this process, whether or not the page is isolated so that its threads may share memory, and under a policy that
 * evaluates no text. spec/backends/webgpu/laws.soak.spec.ts runs them on WebGPU of that browser; here are some.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Browser } from 'playwright-core'
import { NO_BACKEND, type LawReport } from '../../src/verify/index.ts'
import { engineLaws } from '../../src/verify/model/engine_laws.ts'
import { runSeed } from '../harness/seed.ts'
import { fewCases, inWords, otherCases, ownCases } from '../verify/same_cases.ts'
import { lawsOfPart, type Part } from '../verify/part_of_suite.ts'
import { chromiumPath, startChromium, withoutChromium } from './chromium.ts'
import { LawPage } from './law_page.ts'

/** What was found on one backend, with what looks at none. */
function onBackend(reports: readonly LawReport[], name: string): LawReport[] {
  return reports.filter(({ backend }) => backend === name || backend === NO_BACKEND)
}

/** The laws of WebGPU in so many parts, of which a run tries one. */
const PARTS = 4

describe.skipIf(chromiumPath === null)(`in a page${withoutChromium}`, () => {
  let page: LawPage
  let browser: Browser
  beforeAll(async () => {
    page = await LawPage.build()
    browser = await startChromium()
  }, 300_000)
  afterAll(async () => {
    await browser?.close()
    page?.remove()
  })

  // Both backends compute on one thread here, for which it is all one whether memory may be shared: each is tried once.
  test.each([
    { isolated: true, backend: 'wasm-relaxed' },
    { isolated: false, backend: 'wasm' },
  ])(
    'the laws hold, isolated: $isolated, on the cases of this process',
    { timeout: 300_000 },
    async ({ isolated, backend }) => {
      const run = await page.runLaws(browser, isolated, fewCases(backend))
      expect([run.said, run.isolated]).toEqual([[], isolated])
      expect(run.result.filter(({ passed }) => !passed)).toEqual([])
      const ofEngine = run.result.filter(({ chapter }) => chapter === 'specification')
      const sentences = Object.values(engineLaws).map(({ sentence }) => sentence)
      expect(ofEngine.map(({ law }) => law)).toEqual(sentences)
      expect(otherCases(await ownCases(), onBackend(run.result, backend))).toEqual([])
      process.stdout.write(inWords(`chromium ${browser.version()}`, run.result))
    },
  )

  test(
    'on WebGPU a case of each of some laws holds, other laws with another seed',
    { timeout: 300_000 },
    async ({ skip }) => {
      const part: Part = { share: [runSeed() % PARTS, PARTS], isShort: true }
      const withGpu = await startChromium({ webgpu: true })
      try {
        const task = { backends: ['webgpu'], seed: runSeed(), runs: 0.01, ...part }
        const run = await page.runLaws(withGpu, true, task).catch((error: Error) => {
          if (/\[GPU_MISSING\]/.test(error.message)) skip(error.message)
          throw error
        })
        expect(run.said).toEqual([])
        expect(run.result.filter(({ passed }) => !passed)).toEqual([])
        expect(run.result).toHaveLength(lawsOfPart(part).length)
        // SwiftShader takes subnormal numbers for 0, and has the bits of the definitions nevertheless.
        expect(onBackend(run.result, 'webgpu')).toEqual(run.result)
        process.stdout.write(inWords(`chromium ${withGpu.version()}`, run.result))
      } finally {
        await withGpu.close()
      }
    },
  )

  test('a page names the backends it cannot run', { timeout: 300_000 }, async () => {
    const broken = page.runLaws(browser, false, { backends: ['cuda'], seed: 1 })
    await expect(broken).rejects.toThrow(/cuda: .* \[CUDA_DRIVER\]/)
  })
})
