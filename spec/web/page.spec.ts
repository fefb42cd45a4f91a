/**
 * The page in a real browser, from a cold start to a trace reopened: with its server isolating it and without, by keyboard,
 * on a phone, in the dark. Nothing may shift, fail or break the page's policy on the way.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chromiumPath, startChromium, watchPage, withoutChromium, type PageSaid } from './chromium.ts'
import { serveFolder, type StaticServer } from './static_server.ts'

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url))

/** What a page may not do, and when its first token came. */
interface Watch {
  shifts: number[]
  violations: string[]
  firstToken: number | null
}

/** Runs in the page, before anything of it. */
function watchInPage(): void {
  const watch: Watch = { shifts: [], violations: [], firstToken: null }
  Object.assign(globalThis, { watch })
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as (PerformanceEntry & {
      value: number
      hadRecentInput: boolean
    })[])
      if (!entry.hadRecentInput) watch.shifts.push(entry.value)
  }).observe({ type: 'layout-shift', buffered: true })
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
    watch.violations.push(`${violatedDirective} ${blockedURI}`),
  )
  new MutationObserver(() => {
    watch.firstToken ??= document.querySelector('#sparse-text .token') ? performance.now() : null
  }).observe(document, { childList: true, subtree: true })
}

const watched = (page: Page): Promise<Watch> => page.evaluate<Watch>('watch')

/** Waits until a text is written and its truth is known. */
async function written(page: Page): Promise<void> {
  await page.waitForFunction(
    () =>
      document.querySelector<HTMLButtonElement>('#save')?.disabled === false &&
      (document.getElementById('achieved')?.textContent ?? '').includes('Kept of what the text needed'),
  )
}

const tokensOf = (page: Page, id = 'sparse-text'): Promise<string[]> =>
  page.locator(`#${id} .token`).allTextContents()
const lineOf = (page: Page, id: string): Promise<string> => page.locator(`#${id}`).innerText()
const barsOf = (page: Page): Promise<string[]> => page.locator('.bars tr').allInnerTexts()

describe.skipIf(chromiumPath === null)(`the page${withoutChromium}`, { timeout: 60_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-page-'))
  let browser: Browser
  let isolated: StaticServer
  let plain: StaticServer
  beforeAll(async () => {
    const outDir = join(folder, 'web')
    await build({ configFile: path('scripts/vite_page.ts'), logLevel: 'warn', build: { outDir } })
    browser = await startChromium()
    isolated = await serveFolder(outDir, true)
    plain = await serveFolder(outDir, false)
  }, 120_000)
  afterAll(async () => {
    await browser?.close()
    await isolated?.close()
    await plain?.close()
    rmSync(folder, { recursive: true })
  })

  /** Opens the page, does something, and expects that nothing went wrong in all that time. */
  async function inPage(
    url: string,
    work: (page: Page, said: PageSaid) => Promise<void>,
    options: BrowserContextOptions = {},
  ): Promise<void> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
    try {
      const page = await context.newPage()
      const said = watchPage(page)
      await page.addInitScript(watchInPage)
      await page.goto(url)
      await written(page)
      await work(page, said)
      const { shifts, violations } = await watched(page)
      expect({ shifts, violations, faults: said.faults, lines: said.lines }).toEqual({
        shifts: [],
        violations: [],
        faults: [],
        lines: [],
      })
    } finally {
      await context.close()
    }
  }

  test.each([
    ['isolated', true],
    ['not isolated', false],
  ])('%s, it writes both texts from a cold start, and says on how many threads', async (_, isIsolated) => {
    await inPage(isIsolated ? isolated.url : plain.url, async (page) => {
      const { firstToken } = await watched(page)
      process.stdout.write(`first token after ${Math.round(firstToken ?? NaN)} ms, isolated: ${isIsolated}\n`)
      expect(await page.evaluate(() => crossOriginIsolated)).toBe(isIsolated)
      expect(await lineOf(page, 'threads-line')).toContain(isIsolated ? 'threads' : 'one thread')
      expect(await lineOf(page, 'model-line')).toContain('8 layers of 8 heads and 1,024 neurons')
      expect((await tokensOf(page)).length).toBe(48)
      expect((await tokensOf(page, 'dense-text')).length).toBe(48)
      expect(await page.locator('#sparse-text .first').count()).toBe(1)
      expect(await page.locator('#dense-text .first').count()).toBe(1)
      expect(await lineOf(page, 'sparse-speed')).toMatch(/^[\d,]+ tokens\/s$/)
      expect(await lineOf(page, 'distance')).toMatch(
        /They differ from token \d+ on\. KL from dense: \d\.\d{3} nats/,
      )
    })
  })

  test('a slider selects at once and writes anew when it is let go; a prompt is typed', async () => {
    await inPage(isolated.url, async (page) => {
      const before = { text: await tokensOf(page), words: await lineOf(page, 'achieved') }
      const slider = page.locator('#sparsity')
      // Held: masks change, the text does not.
      await slider.evaluate((input: HTMLInputElement) => {
        input.value = '90'
        input.dispatchEvent(new Event('input', { bubbles: true }))
      })
      await page.waitForFunction(
        (words) => document.getElementById('achieved')?.innerText !== words,
        before.words,
      )
      expect(await lineOf(page, 'achieved')).toContain('Skipped: 77 % of heads, 79 % of neurons')
      expect(await tokensOf(page)).toEqual(before.text)
      await slider.dispatchEvent('change')
      await page.waitForFunction(() => document.querySelectorAll('#sparse-text .token').length < 48)
      await written(page)
      expect(await tokensOf(page)).not.toEqual(before.text)
      await page.locator('#prompt').fill('Once upon a time there was')
      await page.locator('#prompt').press('Enter')
      await page.waitForFunction(
        () => document.querySelector('#sparse-text .given')?.textContent === 'Once upon a time there was',
      )
      await written(page)
      await page.locator('#decides').selectOption('always')
      await page.waitForFunction(() => document.querySelectorAll('#sparse-text .token').length < 48)
      await written(page)
      expect((await tokensOf(page)).length).toBeGreaterThan(0)
    })
  })

  test('by keyboard: a token is chosen, a unit is walked to and switched off, and the bars move', async () => {
    await inPage(isolated.url, async (page) => {
      const timeline = page.locator('#timeline')
      await timeline.focus()
      await page.keyboard.press('Home')
      await page.keyboard.press('ArrowRight')
      await expect.poll(() => timeline.getAttribute('aria-valuenow')).toBe('2')
      expect(await lineOf(page, 'column-line')).toMatch(/^Token 2 of 48/)
      await page.keyboard.press('Tab')
      await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe('layers')
      expect(await page.locator('#inspector h3').innerText()).toBe('Head 0 of layer 1')
      await expect.poll(async () => (await barsOf(page)).length).toBe(8)
      const before = await barsOf(page)
      expect(await page.locator('#inspector dl').innerText()).toMatch(
        /Criterion\s+plainact, predicted[^]*Rank\s+\d+ of 56[^]*Cut-off/,
      )
      await page.keyboard.press('Enter')
      await expect.poll(() => lineOf(page, 'inspector')).toContain('Switched off by hand.')
      await expect.poll(() => page.locator('.bars .before').count()).toBe(8)
      expect(await barsOf(page)).not.toEqual(before)
      await page.locator('#inspector').getByText('Undo').click()
      await expect.poll(() => barsOf(page)).toEqual(before)
      await page.locator('#layers').focus()
      for (let i = 0; i < 9; i++) await page.keyboard.press('ArrowRight')
      await expect.poll(() => page.locator('#inspector select option').count()).toBeGreaterThan(8)
      await page.locator('#inspector select').selectOption({ index: 1 })
      await expect.poll(() => page.locator('#inspector h3').innerText()).toMatch(/^Neuron \d+ of layer 1$/)
      expect(await page.locator('#inspector dl').innerText()).toMatch(/Rank\s+[\d,]+ of 7,168/)
      await page.locator('summary').click()
      expect(await page.locator('#layer-table tbody tr').count()).toBe(8)
      expect(await page.locator('#layer-table tbody tr').first().innerText()).toContain('0, runs whole')
    })
  })

  test('a trace is saved and opens again with all that was seen; a hostile one is refused in one line', async () => {
    await inPage(isolated.url, async (page) => {
      const [download] = await Promise.all([page.waitForEvent('download'), page.locator('#save').click()])
      const file = join(folder, download.suggestedFilename())
      await download.saveAs(file)
      const before = {
        text: await tokensOf(page),
        distance: await lineOf(page, 'distance'),
        words: await lineOf(page, 'achieved'),
      }
      await page.locator('#planner').selectOption('random')
      await page.waitForFunction(() => document.querySelectorAll('#sparse-text .token').length < 48)
      await written(page)
      expect(await tokensOf(page)).not.toEqual(before.text)
      await page.locator('#trace').setInputFiles(file)
      await expect.poll(() => lineOf(page, 'trace-answer')).toBe('48 tokens of embedded, as they were kept.')
      await expect.poll(() => tokensOf(page)).toEqual(before.text)
      expect({
        distance: await lineOf(page, 'distance'),
        words: await lineOf(page, 'achieved'),
      }).toMatchObject({ distance: before.distance, words: before.words })
      expect(await page.locator('#planner').inputValue()).toBe('shadow')
      const hostile = join(folder, 'hostile.trace.safetensors')
      writeFileSync(hostile, readFileSync(file).subarray(0, 5000))
      await page.locator('#trace').setInputFiles(hostile)
      await expect
        .poll(() => lineOf(page, 'trace-answer'))
        .toMatch(/^hostile\.trace\.safetensors[^\n]*expected[^\n]*\[[A-Z_]+\]$/)
      expect(await tokensOf(page)).toEqual(before.text)
    })
  })

  test('a folder is opened as a model, a broken one is refused and the other stays', async () => {
    await inPage(isolated.url, async (page) => {
      await page.locator('#folder').setInputFiles(path('fixtures/tiny-opt'))
      await expect.poll(() => lineOf(page, 'model-line'), { timeout: 20_000 }).toMatch(/^tiny-opt: 8 layers/)
      await written(page)
      expect((await tokensOf(page)).length).toBe(48)
      await page.locator('#folder').setInputFiles(path('fixtures/hostile'))
      await expect
        .poll(() => lineOf(page, 'problem'))
        .toMatch(/expected config\.json in it, got no such file \[MODEL_CONFIG\]$/)
      expect(await lineOf(page, 'model-line')).toMatch(/^tiny-opt: 8 layers/)
      // Dropped, as a file system gives it.
      await page.evaluate(() => {
        const transfer = new DataTransfer()
        transfer.items.add(new File(['{}'], 'config.json'))
        document.body.dispatchEvent(
          new DragEvent('dragover', { dataTransfer: transfer, bubbles: true, cancelable: true }),
        )
      })
      await expect.poll(() => page.locator('#drop').isVisible()).toBe(true)
      await page.evaluate(() => {
        const transfer = new DataTransfer()
        transfer.items.add(new File(['{}'], 'config.json'))
        document.body.dispatchEvent(
          new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }),
        )
      })
      await expect
        .poll(() => lineOf(page, 'problem'))
        .toMatch(/expected model\.safetensors[^]*\[MODEL_WEIGHTS\]$/)
      expect(await page.locator('#drop').isVisible()).toBe(false)
    })
  })

  test('the laws run in the page, with the seed that is shown', async () => {
    await inPage(plain.url, async (page) => {
      await page.locator('#seed').fill('7')
      await page.locator('#verify').getByText('Verify', { exact: true }).click()
      await expect
        .poll(() => page.locator('#verify-table .held').count(), { timeout: 30_000 })
        .toBeGreaterThan(2)
      await page.locator('#verify-stop').click()
      await expect
        .poll(() => lineOf(page, 'verify-answer'))
        .toMatch(/^Seed 7: \d+ laws hold, 0 broken\. Stopped\.$/)
      await page.locator('#seed').fill('seven')
      await page.locator('#verify').getByText('Verify', { exact: true }).click()
      await expect.poll(() => lineOf(page, 'verify-answer')).toMatch(/^seed: expected [^\n]*\[SEED\]$/)
    })
  })

  test.each<[string, BrowserContextOptions]>([
    ['on a phone', { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }],
    ['in the dark, without movement', { colorScheme: 'dark', reducedMotion: 'reduce' }],
  ])('%s, nothing is cut off, and the map has the colours of the page', async (_, options) => {
    await inPage(
      plain.url,
      async (page) => {
        const { scroll, client, paper, dots } = await page.evaluate(() => {
          const canvas = document.querySelector<HTMLCanvasElement>('#timeline')
          const data = canvas?.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data ?? []
          const dots: Record<string, number> = {}
          for (let i = 0; i < data.length; i += 4) {
            const colour = `rgb(${data[i]}, ${data[i + 1]}, ${data[i + 2]})`
            dots[colour] = (dots[colour] ?? 0) + 1
          }
          const { scrollWidth: scroll, clientWidth: client } = document.documentElement
          return { scroll, client, paper: getComputedStyle(document.body).backgroundColor, dots }
        })
        expect(scroll).toBeLessThanOrEqual(client)
        const isDark = options.colorScheme === 'dark'
        expect(paper).toBe(isDark ? 'rgb(20, 24, 28)' : 'rgb(255, 255, 255)')
        // Heads that are kept, in blue.
        expect(dots[isDark ? 'rgb(74, 163, 223)' : 'rgb(0, 114, 178)']).toBeGreaterThan(100)
      },
      options,
    )
  })
})
