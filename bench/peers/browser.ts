/**
 * The comparison in a page of Chromium: llama.cpp as WebAssembly (wllama) beside the engine of our page, each in workers.
 */
import { readFileSync, symlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { diskOnly } from '../../scripts/vite_page.ts'
import { chromiumPath, startChromium } from '../../spec/web/chromium.ts'
import { serveFolder } from '../../spec/web/static_server.ts'
import { joinPath, openRange } from '../../src/platform/platform.ts'
import { MissingError, ShadowError, UsageError } from '../../src/tensor/errors.ts'
import type { Format } from '../../src/io/gguf_formats.ts'
import { peerFolder } from './installed.ts'
import type { LeftOut } from './measure.ts'
import type { Subject } from './models.ts'
import type { PageOrder } from './page/order.ts'
import type { Group } from './report.ts'

/** A file has to fit in one array. */
const MAX_FILE = 2 ** 31 - 1

/** What was timed in the browser, and what both are. */
export interface BrowserRun {
  readonly versions: Readonly<Record<string, string>>
  readonly groups: readonly Group[]
  readonly leftOut: readonly LeftOut[]
}

/**
 * Compares in a page, on each number of threads.
 * @throws UsageError MODEL for a model whose file this project does not read; MissingError PEERS_MISSING, CHROMIUM_MISSING;
 *   ShadowError PEER_DISAGREES
 */
export async function compareInBrowser(
  subject: Subject,
  rounds: number,
  threads: readonly number[],
): Promise<BrowserRun> {
  const { name, weights, config, exact, predictor, folder } = subject
  if (config.family !== 'llama')
    throw new UsageError('MODEL', '--browser: expected a model of the Llama family, got another')
  const wllama = await peerFolder('@wllama/wllama')
  if (chromiumPath === null)
    throw new MissingError('CHROMIUM_MISSING', 'bench:peers: expected Chromium, got none')
  const formats: Format[] = []
  const leftOut: LeftOut[] = []
  for (const format of subject.formats) {
    if (format === 'F32') continue // slower than F16 on both sides, and tells nothing else

    const file = await openRange(await subject.file(format))
    await file.close()
    if (file.size <= MAX_FILE) formats.push(format)
    else
      leftOut.push({ name: format, reason: `a file of ${file.size} bytes is more than a page reads at once` })
  }
  await pack(joinPath(folder, 'page'))
  symlinkSync(fileURLToPath(new URL('esm', wllama)), joinPath(folder, 'wllama'))
  const server = await serveFolder(folder, true)
  const browser = await startChromium()
  try {
    const groups: Group[] = []
    for (const count of threads) {
      const page = await browser.newPage()
      page.setDefaultTimeout(0)
      await page.goto(`${server.url}page/`)
      const about = { name, weights, config, exact, predictor, formats, rounds }
      const order: PageOrder = { ...about, files: server.url, threads: count }
      const { leftOut: here, ...group } = await page.evaluate<Group & { leftOut: LeftOut[] }>(
        `comparePeers(${JSON.stringify(order)}, ${JSON.stringify(`${server.url}wllama/`)})`,
      )
      groups.push(group)
      leftOut.push(...here)
      await page.close()
    }
    const { version } = JSON.parse(readFileSync(new URL('package.json', wllama), 'utf8')) as {
      version: string
    }
    return { versions: { Chromium: browser.version(), wllama: version }, groups, leftOut }
  } catch (error) {
    // What a page throws comes as words.
    const [, words] = /((?:wllama|shadowllm) .*: expected .*)/.exec(String(error)) ?? []
    throw words === undefined ? error : new ShadowError('PEER_DISAGREES', words, 1, { cause: error })
  } finally {
    await browser.close()
    await server.close()
  }
}

/** Packs the page into a folder. */
async function pack(folder: string): Promise<void> {
  await build({
    configFile: false,
    logLevel: 'error',
    root: fileURLToPath(new URL('page', import.meta.url)),
    base: './',
    plugins: [diskOnly()],
    worker: { format: 'es', plugins: () => [diskOnly()] },
    build: { outDir: folder, emptyOutDir: true, target: 'es2024', assetsInlineLimit: 0 },
  })
}
