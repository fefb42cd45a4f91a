/**
 * The page of verify_page, packed and opened in Chromium.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright-core'
import { build } from 'vite'
import { diskOnly } from '../../scripts/vite_page.ts'
import type { LawReport } from '../../src/verify/index.ts'
import { watchPage } from './chromium.ts'
import { serveFolder } from './static_server.ts'
import type { LawsTask } from './verify_page/laws_thread.ts'
import type { TextTask } from './verify_page/text_thread.ts'

/** What a page gave back, and all it said besides. */
export interface PageRun<Result> {
  readonly result: Result
  readonly isolated: boolean
  readonly said: readonly string[]
}

/** The page in a folder, which is removed at the end. */
export class LawPage {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'shadowllm-verify-page-'))

  /** Packs it. */
  static async build(): Promise<LawPage> {
    const page = new LawPage()
    await build({
      configFile: false,
      logLevel: 'warn',
      root: fileURLToPath(new URL('verify_page', import.meta.url)),
      base: './',
      plugins: [diskOnly()],
      worker: { format: 'es', plugins: () => [diskOnly()] },
      build: { outDir: page.folder, emptyOutDir: true, target: 'es2024', assetsInlineLimit: 0 },
    })
    return page
  }

  runLaws(browser: Browser, isolated: boolean, task: LawsTask): Promise<PageRun<LawReport[]>> {
    return this.#run(browser, isolated, () => `runLaws(${JSON.stringify(task)})`)
  }

  /** Writes a text of a model, a file of the folder. */
  writeText(browser: Browser, file: string, task: Omit<TextTask, 'address'>): Promise<PageRun<number>> {
    return this.#run(
      browser,
      true,
      (url) => `writeText(${JSON.stringify({ ...task, address: `${url}${file}` })})`,
    )
  }

  remove(): void {
    rmSync(this.folder, { recursive: true })
  }

  /** @param isolated whether threads of the page may share memory */
  async #run<Result>(
    browser: Browser,
    isolated: boolean,
    codeAt: (url: string) => string,
  ): Promise<PageRun<Result>> {
    const server = await serveFolder(this.folder, isolated)
    const page = await browser.newPage()
    const said = watchPage(page)
    try {
      await page.goto(server.url)
      const isIsolated = await page.evaluate(() => globalThis.crossOriginIsolated)
      const result = await page.evaluate<Result>(codeAt(server.url))
      return { result, isolated: isIsolated, said: [...said.lines, ...said.faults] }
    } finally {
      await page.close()
      await server.close()
    }
  }
}
