/**
 * The page in a real browser, from a cold start to a trace reopened: with its server isolating it and without, by keyboard,
 * on a phone, in the dark. Nothing may shift, fail or break the page's policy on the way.
 *
 * Tests src/web/app.ts, src/web/embedded/first_data.ts, src/web/embedded/embedded_model.ts,
 * src/web/engine/speed_rounds.ts, src/web/view/planner_words.ts, src/web/view/predictor_view.ts, src/web/main.ts, src/web/models_panel.ts, src/web/next_tokens.ts, src/web/verify_panel.ts,
 * src/web/engine/engine.ts, src/web/engine/engine_worker.ts, src/web/engine/remote_model.ts,
 * src/web/engine/start_engine.ts, src/web/view/cells.ts, src/web/view/controls.ts,
 * src/web/view/dom.ts, src/web/view/inspector.ts, src/web/view/network_view.ts,
 * src/web/view/overview.ts, src/web/view/stage.ts, src/web/view/texts.ts, src/web/view/timeline.ts, src/web/view/tip.ts and
 * src/platform/page.ts.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { emptyPrompt, oracleWords } from '../../src/web/view/glossary.ts'
import { MockHub } from '../io/mock_hub.ts'
import { cannotBrowse, whyNotBrowsed } from './browsed_site.ts'
import { builtSite } from './built_site.ts'
import { startChromium, watchPage, type PageSaid } from './chromium.ts'
import { serveFolder, type StaticServer } from './static_server.ts'

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url))

/** What a page may not do, and when its first picture and the model's first token came. */
interface Watch {
  shifts: string[]
  violations: string[]
  firstPicture: number | null
  firstToken: number | null
}

/** What a browser says of something that moved. */
interface Shift extends PerformanceEntry {
  readonly value: number
  readonly sources: readonly { readonly node: Node | null }[]
}

/** Runs in the page, before anything of it. */
function watchInPage(): void {
  const watch: Watch = { shifts: [], violations: [], firstPicture: null, firstToken: null }
  Object.assign(globalThis, { watch })
  new PerformanceObserver((list) => {
    // Includes shifts right after an input, which browsers leave out: how soon they follow depends on the machine.
    for (const { value, sources } of list.getEntries() as Shift[]) {
      // A word that goes on with the next token may move to the next line of its text.
      const isOfText = ({ node }: Shift['sources'][number]): boolean =>
        (node instanceof Element ? node : node?.parentElement)?.closest('.text') instanceof Element
      if (sources.length > 0 && sources.every(isOfText)) continue
      watch.shifts.push(`${value}: ${sources.map(({ node }) => node?.textContent?.slice(0, 40)).join('; ')}`)
    }
  }).observe({ type: 'layout-shift', buffered: true })
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
    watch.violations.push(`${violatedDirective} ${blockedURI}`),
  )
  new MutationObserver(() => {
    const isThere = document.querySelector('#texts:not([data-first]) .token') !== null
    watch.firstPicture ??= document.querySelector('#texts .token') ? performance.now() : null
    watch.firstToken ??= isThere ? performance.now() : null
  }).observe(document, { childList: true, subtree: true, attributes: true })
}

const watched = (page: Page): Promise<Watch> => page.evaluate<Watch>('watch')

/** Waits until a text is written and its oracle scores are known, or that there are none. */
async function written(page: Page, last = 'Recall against the oracle'): Promise<void> {
  await page.waitForFunction(
    (words) =>
      document.querySelector<HTMLButtonElement>('#save')?.disabled === false &&
      (document.getElementById('achieved')?.textContent ?? '').includes(words),
    last,
  )
}

/** Does something that makes the page write a text again, and waits for the new text. */
async function rewritten(page: Page, act: () => Promise<unknown>, last?: string): Promise<void> {
  await page.locator('#sparse-text .given').evaluate((given: HTMLElement) => (given.dataset.before = ''))
  await act()
  await page.locator('#sparse-text .given:not([data-before])').waitFor({ state: 'attached' })
  await written(page, last)
}

const tokensOf = (page: Page, id = 'sparse-text'): Promise<string[]> =>
  page.locator(`#${id} .token`).allTextContents()
const lineOf = (page: Page, id: string): Promise<string> => page.locator(`#${id}`).innerText()
const barsOf = (page: Page): Promise<string[]> => page.locator('.bars tr').allInnerTexts()

/** What is of the text that was generated under other settings or switches: two numbers of the headline, and what is told of them. */
const formerNumbers = ['outcome', 'distance', 'div', 'div']

/** The numbers that are pale, as they are of other settings. In one call: each frame may make the headline anew. */
const paleOf = (page: Page): Promise<string[]> =>
  page.evaluate(() =>
    [...document.querySelectorAll('#headline div, #distance, #outcome')]
      .filter((one) => getComputedStyle(one).opacity !== '1')
      .map(({ id, localName }) => id || localName),
  )

/** Runs in the page: how many dots of its picture have a colour. Of a copy, as Chromium warns where a canvas is read often. */
function dotsOf(colour: string): number {
  const canvas = document.querySelector('#layers') as HTMLCanvasElement
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d')
  copy?.drawImage(canvas, 0, 0)
  const data = copy?.getImageData(0, 0, canvas.width, canvas.height).data ?? []
  let dots = 0
  for (let i = 0; i < data.length; i += 4)
    if (colour === `rgb(${data[i]}, ${data[i + 1]}, ${data[i + 2]})`) dots++
  return dots
}

/** Runs in the page: the words that the window or an element cuts off. */
function cutWords(): string[] {
  const cut: string[] = []
  const { clientWidth } = document.documentElement
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const parent = node.parentElement as HTMLElement
    if (!node.textContent?.trim() || parent.closest('.hidden, .skip, option') || !parent.checkVisibility())
      continue
    // A space at the end of a line may hang over its edge.
    const words = node.textContent
    const range = document.createRange()
    range.setStart(node, words.length - words.trimStart().length)
    range.setEnd(node, words.trimEnd().length)
    const boxes = [...range.getClientRects()]
    const clip = parent.closest<HTMLElement>('th, td, .text, .more, .tour')?.getBoundingClientRect()
    const [left, right] = [Math.max(0, clip?.left ?? 0), Math.min(clientWidth, clip?.right ?? clientWidth)]
    if (boxes.some((box) => box.left < left - 1 || box.right > right + 1)) cut.push(node.textContent)
  }
  const context = document.createElement('canvas').getContext('2d') as CanvasRenderingContext2D
  for (const select of document.querySelectorAll('select')) {
    if (!select.checkVisibility({ visibilityProperty: true })) continue
    context.font = getComputedStyle(select).font
    // The arrow of a list takes its own space.
    for (const { text } of select.options)
      if (context.measureText(text).width > select.clientWidth - 38) cut.push(text)
  }
  for (const id of ['tour', 'prompt']) {
    const { scrollHeight, clientHeight } = document.getElementById(id) as HTMLElement
    if (scrollHeight > clientHeight + 1) cut.push(id)
  }
  return cut
}

/** The time limit of a test: far more than it takes on a busy machine. */
const timeout = 300_000

/** Expects something to hold after a while. */
const eventually = (read: () => unknown): ReturnType<typeof expect.poll> => expect.poll(read, { timeout })

describe.skipIf(cannotBrowse)(`the page${whyNotBrowsed}`, { timeout }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-page-'))
  let browser: Browser
  let isolated: StaticServer
  let plain: StaticServer
  beforeAll(async () => {
    const outDir = join(await builtSite(), 'live')
    browser = await startChromium()
    isolated = await serveFolder(outDir, true)
    plain = await serveFolder(outDir, false)
  }, timeout)
  afterAll(async () => {
    await browser?.close()
    await isolated?.close()
    await plain?.close()
    rmSync(folder, { recursive: true })
  })

  /** A page, all it said, and what it showed when it was open. */
  interface Opened {
    readonly page: Page
    readonly said: PageSaid
    readonly shown: string
  }
  /** The isolated page as the last test left it; null if that one failed. */
  let left: Opened | null = null

  /** Waits for what the model is asked for after its texts: the next words, and the inside of the predictor if there is one. */
  async function answered(page: Page): Promise<void> {
    await page.locator('.next:not(.stale) .bars').waitFor({ state: 'attached' })
    await page.locator('#predictor:is(.without, :not(.closed))').waitFor({ state: 'attached' })
  }

  /** What is to be seen of a page: its address, the values of fields, and the words, but for measured speeds and what a text has changed. */
  const shownBy = (page: Page): Promise<string> =>
    page.evaluate(() => {
      const fields = [...document.querySelectorAll<HTMLInputElement>('input, select, textarea')]
      const words: (string | null)[] = []
      const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
      for (let node = texts.nextNode(); node; node = texts.nextNode()) {
        const parent = node.parentElement as HTMLElement
        const isOther = parent.closest('#headline, #changed') !== null
        if (!isOther && parent.checkVisibility({ visibilityProperty: true })) words.push(node.textContent)
      }
      const values = fields.map(({ value, checked }) => [value, checked])
      return JSON.stringify([location.href, document.body.className.trim(), values, words])
    })

  async function open(url: string, options: BrowserContextOptions): Promise<Opened> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
    const page = await context.newPage()
    const said = watchPage(page)
    await page.addInitScript(watchInPage)
    await page.goto(url)
    await written(page)
    await answered(page)
    return { page, said, shown: await shownBy(page) }
  }

  /** The page that was left, once it shows again what it showed when it was open; null if it does not. */
  async function reset(): Promise<Opened | null> {
    const before = left
    left = null
    if (before === null) return null
    const { page, shown } = before
    for (let i = 0; i < 2; i++) await page.keyboard.press('Escape')
    await page.mouse.move(0, 0)
    await page.evaluate(() => {
      if (document.activeElement instanceof HTMLElement) document.activeElement.blur()
      scrollTo({ top: 0, behavior: 'instant' })
    })
    const isSameModel = shown.includes(await lineOf(page, 'model-line'))
    if (isSameModel && (await shownBy(page)) !== shown) {
      await page.locator('#unswitch').evaluate((button: HTMLButtonElement) => button.click())
      await rewritten(page, () => page.getByRole('button', { name: 'A story' }).click())
      await answered(page)
      await page.evaluate(() => scrollTo({ top: 0, behavior: 'instant' }))
    }
    await page.evaluate('watch.shifts.length = 0')
    if ((await shownBy(page)) === shown) return before
    await page.context().close()
    return null
  }

  /**
   * Opens the page, does something, and expects that nothing went wrong in all that time.
   * @param mostShift what may move in all: a message of several lines pushes the page down
   */
  async function inPage(
    url: string,
    work: (page: Page, said: PageSaid) => Promise<void>,
    options: BrowserContextOptions = {},
    mostShift = 0,
  ): Promise<void> {
    await judge(await open(url, options), work, mostShift)
  }

  /** The same in the isolated page of the test before, if it can be reset. */
  async function inOpenPage(work: (page: Page) => Promise<void>, mostShift = 0): Promise<void> {
    left = await judge((await reset()) ?? (await open(isolated.url, {})), work, mostShift, true)
  }

  /** @returns the page if it is kept */
  async function judge(
    opened: Opened,
    work: (page: Page, said: PageSaid) => Promise<void>,
    mostShift: number,
    isKept = false,
  ): Promise<Opened | null> {
    const { page, said } = opened
    let isGood = false
    try {
      await work(page, said)
      const { shifts: all, violations } = await watched(page)
      const sum = all.reduce((sum, line) => sum + Number.parseFloat(line), 0)
      const shifts = sum > mostShift ? all : []
      expect({ shifts, violations, faults: said.faults, lines: said.lines }).toEqual({
        shifts: [],
        violations: [],
        faults: [],
        lines: [],
      })
      isGood = true
    } finally {
      if (!isKept || !isGood) await page.context().close()
    }
    return isKept ? opened : null
  }

  test.each([
    ['isolated', true],
    ['not isolated', false],
  ])('%s, it generates both texts from a cold start, and states its threads', async (_, isIsolated) => {
    await inPage(isIsolated ? isolated.url : plain.url, async (page) => {
      const { firstToken } = await watched(page)
      process.stdout.write(`first token after ${Math.round(firstToken ?? NaN)} ms, isolated: ${isIsolated}\n`)
      expect(await page.evaluate(() => crossOriginIsolated)).toBe(isIsolated)
      expect(await lineOf(page, 'threads-line')).toContain(isIsolated ? 'threads' : 'one thread')
      expect(await lineOf(page, 'model-line')).toContain('8 layers of 8 heads and 1,024 neurons')
      const count = (await tokensOf(page)).length
      expect(count).toBeGreaterThan(1)
      expect((await tokensOf(page, 'dense-text')).length).toBeLessThanOrEqual(count)
      // The texts differ for two reasons: units are skipped, and words are drawn.
      for (const id of ['sparse-drawn', 'dense-drawn'])
        expect(await lineOf(page, id)).toBe('drawn, temperature 0.8')
      expect(await lineOf(page, 'share')).toBe('of ranked units; 44 % of all: layer 0 is dense')
      expect(await lineOf(page, 'distance')).toMatch(
        /(They differ from token \d+ on|The texts agree in all \d+ tokens)\. KL from dense: \d\.\d{3} nats [^]* with 44 % of the weights skipped\.$/,
      )
      // What colours mean is told before the picture.
      const tops = await page
        .locator('.legend, #layers')
        .evaluateAll((all) => all.map((one) => one.getBoundingClientRect().top))
      expect(tops[0]).toBeLessThan(tops[1])
      expect(await page.locator('#headline .value').allInnerTexts()).toEqual([
        '44 %',
        expect.stringMatching(/^((at (least|most) )?\d\.\d\d ×|No difference|Unclear|Unknown)$/),
        expect.stringMatching(/^\d\.\d\d nats$/),
      ])
    })
  })

  test('the page says how fast WebGPU is here or why it is not used, and nothing of it is fetched before the model writes', async () => {
    const withGpu = await startChromium({ webgpu: true })
    try {
      const page = await withGpu.newPage({ viewport: { width: 1280, height: 900 } })
      const said = watchPage(page)
      await page.addInitScript(watchInPage)
      const fetched: number[] = []
      page.on('request', (request) => {
        if (/faster_model|webgpu_backend|gpu_thread/.test(request.url())) fetched.push(Date.now())
      })
      await page.goto(isolated.url)
      await page.locator('#texts:not([data-first]) .token').first().waitFor({ timeout })
      const begun = Date.now()
      await eventually(
        async () => `${await lineOf(page, 'model-line')} ${await lineOf(page, 'threads-line')}`,
      ).toMatch(
        /WebGPU gives other numbers here, so it is not used\.$|WebGPU: [\d,]+ tokens\/s, WebAssembly: [\d,]+ tokens\/s; uses Web\w+\.$/,
      )
      expect(fetched.length).toBeGreaterThanOrEqual(3)
      expect(Math.min(...fetched)).toBeGreaterThan(begun)
      const { shifts, violations } = await watched(page)
      expect({ shifts, violations, faults: said.faults }).toEqual({ shifts: [], violations: [], faults: [] })
    } finally {
      await withGpu.close()
    }
  })

  // One of a hundred outcomes may be judged otherwise (spec/results/interleaved_rounds.spec.ts): here, whether the page judges.
  test('equal computations are not shown as a speed-up: three texts with nothing skipped', async () => {
    await inOpenPage(async (page) => {
      await page.getByRole('button', { name: 'Settings' }).click()
      await rewritten(page, () => page.locator('#planner').selectOption('dense'), '')
      const speed = (): Promise<string> => page.locator('#headline .value').nth(1).innerText()
      const told = [await speed()]
      for (let run = 1; run < 3; run++) {
        await rewritten(page, () => page.getByRole('button', { name: 'Another text' }).click(), '')
        told.push(await speed())
      }
      expect(told).toEqual(told.map(() => expect.stringMatching(/^(No difference|Unclear|Unknown)$/)))
      expect(await lineOf(page, 'how-other')).toBe('Nobody decides here: nothing is skipped.')
      expect(await lineOf(page, 'sparse-title')).toBe('Nobody decides: nothing skipped')
      // The next words are those of this text, and they are computed once.
      await eventually(() => page.locator('.next:not(.stale) .bars').count()).toBe(1)
      const bars = await page.locator('.bars').elementHandle()
      await page.waitForTimeout(500)
      expect(await bars?.evaluate(({ isConnected }) => isConnected)).toBe(true)
      for (const id of ['sparsity', 'decides', 'scope', 'criterion', 'compare'])
        expect([id, await page.locator(`#${id}`).isDisabled()]).toEqual([id, true])
    })
  })

  test('at 4 Mbps and cold, the first picture comes in a second or so, and 5 MB bring the first token', async () => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
    try {
      const page = await context.newPage()
      let bytes = 0
      context.on('response', (response) => {
        bytes += Number(response.headers()['content-length'] ?? NaN)
      })
      const session = await context.newCDPSession(page)
      await session.send('Network.emulateNetworkConditions', {
        offline: false,
        latency: 40,
        downloadThroughput: 500_000,
        uploadThroughput: 500_000,
      })
      await page.addInitScript(watchInPage)
      await page.goto(isolated.url)
      const line = page.locator('#model-line')
      await eventually(() => line.innerText()).toMatch(
        /Downloading tiny-opt in four bits: \d\.\d of 4\.\d MB/,
      )
      // Before the model is there, the picture and its slider work.
      expect((await tokensOf(page)).length).toBeGreaterThan(1)
      expect(await page.locator('#save').isDisabled()).toBe(true)
      await page.locator('#texts:not([data-first]) .token').first().waitFor({ timeout })
      const { firstPicture, firstToken } = await watched(page)
      const spoken = [firstPicture, firstToken].map((time) => `${Math.round(time ?? NaN)} ms`).join(', ')
      process.stdout.write(`4 Mbps: first picture and first token after ${spoken}; ${bytes} bytes\n`)
      expect(bytes).toBeLessThanOrEqual(5e6)
      // Twice the time of an idle machine.
      expect(firstPicture).toBeLessThan(2000)
      expect(firstToken).toBeLessThan(24_000)
    } finally {
      await context.close()
    }
  })

  test('the predictor is open: its features, matrices and scores, whose cut follows the slider', async () => {
    await inOpenPage(async (page) => {
      await eventually(() => lineOf(page, 'features-words')).toBe('256 features of the prompt')
      expect(await lineOf(page, 'first-words')).toContain('64 for heads, 32 for neurons')
      expect(await lineOf(page, 'second-words')).toContain('56 scores of heads, 7,168 scores of neurons')
      expect(await lineOf(page, 'sorted-neurons-words')).toMatch(
        /^neurons: the best 3,584 of 7,168 kept; the best skipped unit scores [\d.e-]+$/,
      )
      const picture = (): Promise<string> =>
        page.locator('#sorted-neurons').evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL())
      const before = await picture()
      await page.locator('#sparsity').evaluate((input: HTMLInputElement) => {
        input.value = '75'
        input.dispatchEvent(new Event('input', { bubbles: true }))
      })
      await eventually(() => lineOf(page, 'sorted-neurons-words')).toMatch(
        /^neurons: the best 1,792 of 7,168 kept; the best skipped unit scores [\d.e-]+$/,
      )
      await eventually(async () => (await picture()) === before).toBe(false)
      // The diamond leads there.
      const top = (): Promise<number> => page.evaluate(() => scrollY)
      await page.evaluate(() => scrollTo(0, 0))
      await page.getByRole('button', { name: 'Look inside' }).click()
      await eventually(top).toBeGreaterThan(0)
    })
  })

  test('a link keeps the unit, the token and the comparison that are looked at, and what is switched by hand', async () => {
    const unit = 'unit=neurons.2.17&compares=true'
    const byHand = 'off=heads.4.6_neurons.2.17-19'
    await inPage(`${isolated.url}#token=3&${unit}&${byHand}`, async (page) => {
      await eventually(() => lineOf(page, 'column-line')).toMatch(/^Token 3 of /)
      expect(await page.locator('#inspector h3').innerText()).toBe('Neuron 17 of layer 2')
      expect(await page.locator('#compare').isChecked()).toBe(true)
      await page.locator('#timeline').focus()
      await page.keyboard.press('ArrowRight')
      await eventually(() => new URL(page.url()).hash).toBe(`#token=4&${unit}&${byHand}`)
      expect(await lineOf(page, 'sparse-title')).toBe('With units skipped, 4 switched by hand')
      await page.locator('#unswitch').click()
      await eventually(() => new URL(page.url()).hash).toBe(`#token=4&${unit}`)
      await rewritten(page, () => page.evaluate(() => void (location.hash = '#on=heads.8.0')))
      await eventually(() => lineOf(page, 'problem')).toBe(
        'address on: expected units of the model, got heads.8.0. Using defaults instead.',
      )
      expect(await lineOf(page, 'switched')).toBe('No unit is switched by hand.')
    })
  })

  test('a number that is none is told beside its field, nothing is generated, and Generate leads back to the field', async () => {
    await inOpenPage(async (page) => {
      await page.getByRole('button', { name: 'Settings' }).click()
      await page.locator('#temperature').fill('hot')
      await page.locator('#temperature').press('Tab')
      await eventually(() => lineOf(page, 'settings-problem')).toBe(
        'temperature: expected a number from 0 to 2, got "hot"',
      )
      expect(await page.locator('#temperature').getAttribute('aria-invalid')).toBe('true')
      await page.getByRole('button', { name: 'Close' }).click()
      await page.locator('#write').click()
      expect(await page.locator('#settings-problem').isVisible()).toBe(true)
      expect(await page.evaluate(() => document.activeElement?.id)).toBe('temperature')
      await page.locator('#temperature').fill('0.7')
      await rewritten(page, () => page.locator('#temperature').press('Tab'))
      expect(await page.locator('#temperature').getAttribute('aria-invalid')).toBe('false')
    })
  })

  test('every control has a name, and without a script no dead button is left', async () => {
    await inOpenPage(async (page) => {
      const unnamed = await page.evaluate(() =>
        [
          ...document.querySelectorAll<HTMLElement>(
            'button, input, select, textarea, canvas, summary, a[href]',
          ),
        ]
          .filter((control) => {
            const labels = [...((control as HTMLInputElement).labels ?? [])].map((label) => label.innerText)
            const own = control.getAttribute('aria-label') ?? control.getAttribute('aria-labelledby') ?? ''
            return [own, control.textContent, ...labels].join('').trim() === ''
          })
          .map(({ id, tagName }) => `${tagName} ${id}`),
      )
      expect(unnamed).toEqual([])
    })
    const context = await browser.newContext({ javaScriptEnabled: false })
    const page = await context.newPage()
    await page.goto(isolated.url)
    // The words of the lead that explain themselves look like words.
    expect(await page.locator('button:not(.term):visible').count()).toBe(0)
    expect(await page.locator('noscript a').isVisible()).toBe(true)
    await context.close()
  })

  test('a slider selects at once and generates again on release; a unit that is switched by hand stays so, marked and counted', async () => {
    await inOpenPage(async (page) => {
      const ink = await page.evaluate(() => getComputedStyle(document.body).color)
      const unmarked = await page.evaluate(dotsOf, ink)
      await page.locator('#layers').focus()
      await page.keyboard.press('Enter')
      const isMarked = async (): Promise<void> => {
        await eventually(() => page.evaluate(dotsOf, ink)).toBeGreaterThan(unmarked + 4)
        expect(await lineOf(page, 'switched')).toBe('1 unit switched by hand: × off, + on.')
        expect(await lineOf(page, 'inspector')).toContain('Switched off by hand.')
      }
      await isMarked()
      expect(await lineOf(page, 'sparse-title')).toBe('With units skipped, before your switches')
      expect(await paleOf(page)).toEqual(formerNumbers)
      // Each token counts them, and so does its table.
      expect(await lineOf(page, 'column-line')).toMatch(/; 1 unit switched by hand$/)
      const row = page.locator('#layer-table tbody tr').nth(4).locator('td').first()
      expect(await row.textContent()).toMatch(/^\d of 8, 1 by hand$/)
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
      expect(await lineOf(page, 'share')).toContain('; 78 % of all heads, 79 % of all neurons: layer')
      // The KL is that of the text, with what was skipped in it.
      expect(await lineOf(page, 'distance')).toContain('with 44 % of the weights skipped.')
      expect(await tokensOf(page)).toEqual(before.text)
      await isMarked()
      await rewritten(page, () => slider.dispatchEvent('change'))
      expect(await tokensOf(page)).not.toEqual(before.text)
      await isMarked()
      // The text is written under the switch, which is counted.
      expect(await lineOf(page, 'sparse-title')).toBe('With units skipped, 1 switched by hand')
      expect(await paleOf(page)).toEqual([])
      expect(await lineOf(page, 'achieved')).toMatch(/^1 unit switched by hand in the text\. Recall/)
      await page.locator('#unswitch').click()
      await eventually(() => lineOf(page, 'switched')).toBe('No unit is switched by hand.')
      expect(await lineOf(page, 'sparse-title')).toBe('With units skipped, with your former switches')
      expect(await lineOf(page, 'inspector')).not.toContain('by hand.')
      await eventually(() => page.evaluate(dotsOf, ink)).toBe(unmarked)
      // A prompt that is typed is not that of the texts.
      const isFormer = (): Promise<boolean> => page.evaluate(() => document.body.classList.contains('former'))
      await page.locator('#prompt').fill('Once upon a time there was')
      await eventually(isFormer).toBe(true)
      expect(await lineOf(page, 'example')).toContain('prompt before')
      await rewritten(page, () => page.locator('#prompt').press('Enter'))
      expect(await page.locator('#sparse-text .given').textContent()).toBe('Once upon a time there was')
      expect(await isFormer()).toBe(false)
      expect(await lineOf(page, 'switched')).toBe('No unit is switched by hand.')
      await page.getByRole('button', { name: 'Settings' }).click()
      const height = async (): Promise<number> =>
        (await page.locator('#timeline').boundingBox())?.height ?? NaN
      const low = await height()
      await rewritten(page, () => page.locator('#decides').selectOption('always'))
      // Columns that differ are drawn larger than equal ones.
      expect(await height()).toBeGreaterThan(2 * low)
      expect((await tokensOf(page)).length).toBeGreaterThan(0)
      await page.keyboard.press('Escape')
      await eventually(() => page.locator('#more').isVisible()).toBe(false)
    })
  })

  test('by keyboard, a token and a unit are selected and the unit is switched', async () => {
    await inPage(`${isolated.url}#temperature=0`, async (page) => {
      const timeline = page.locator('#timeline')
      await timeline.focus()
      await page.keyboard.press('Home')
      await page.keyboard.press('ArrowRight')
      await eventually(() => timeline.getAttribute('aria-valuenow')).toBe('2')
      expect(await lineOf(page, 'column-line')).toMatch(/^Token 2 of \d+/)
      await page.locator('#layers').focus()
      expect(await page.locator('#inspector h3').innerText()).toBe('Head 6 of layer 4')
      // The likeliest of what comes next is what was written there.
      const [, second] = await tokensOf(page)
      await eventually(async () => (await barsOf(page))[0].split(/\s/)[0]).toBe(second.replace(/^ /, '·'))
      const before = await barsOf(page)
      expect(await page.locator('#inspector dl').innerText()).toMatch(
        /Criterion\s+plainact, predicted[^]*Rank\s+\d+ of 56[^]*Cut-off/,
      )
      await page.keyboard.press('Enter')
      await eventually(() => lineOf(page, 'inspector')).toMatch(
        /Switched (on|off) by hand\.[^]*and the text with units skipped when you generate\./,
      )
      await eventually(() => page.locator('.bars .before').count()).toBe(8)
      expect(await barsOf(page)).not.toEqual(before)
      for (const bar of await barsOf(page)) expect(bar).toMatch(/\((±0|[+−]\S*[1-9]\S*)\)$/)
      await page.locator('#inspector').getByRole('button', { name: 'Undo' }).click()
      await eventually(() => barsOf(page)).toEqual(before)
      // Past the eight heads of the layer; in the picture each neuron is a cell of its own, and layers stand side by side.
      await page.locator('#layers').focus()
      for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowDown')
      await eventually(() => page.locator('#inspector h3').innerText()).toBe('Neuron 1 of layer 4')
      expect(await page.locator('#inspector dl').innerText()).toMatch(/Rank\s+[\d,]+ of 7,168/)
      await page.keyboard.press('ArrowRight')
      await eventually(() => page.locator('#layers').getAttribute('aria-label')).toContain(
        'Neuron 1 of layer 5',
      )
      await page.keyboard.press('Tab')
      expect(await page.evaluate(() => document.activeElement?.id)).toBe('compare')
      await page.keyboard.press('Space')
      await eventually(() => page.locator('.legend .extra').isVisible()).toBe(true)
      // What the marks mean stands with the other colours.
      expect(await page.locator('.legend').innerText()).toMatch(
        /kept \(stronger[^]*but not by the oracle[^]*a dash: skipped, but kept by the oracle/,
      )
      // A bin of the timeline; a neuron by its number, and the ones beside it.
      await timeline.focus()
      await page.keyboard.press('ArrowDown')
      await eventually(() => lineOf(page, 'inspector')).toMatch(/The best of \d+ to \d+; \d+ kept\./)
      // Units that are switched by hand count as they are switched.
      await page.getByRole('button', { name: 'Switch the bin off' }).click()
      await eventually(() => lineOf(page, 'inspector')).toMatch(/The best of \d+ to \d+; 0 kept\./)
      await page.locator('#inspector').getByRole('button', { name: 'Undo' }).click()
      const chosen = (): Promise<string> => page.locator('#inspector h3').innerText()
      const number = page.getByLabel('Number of the unit')
      const title = await chosen()
      await number.fill('1024')
      await page.keyboard.press('Enter')
      await eventually(() => lineOf(page, 'inspector')).toContain(
        'neuron: expected a whole number from 0 to 1023, got "1024"',
      )
      expect([await chosen(), await number.getAttribute('aria-invalid')]).toEqual([title, 'true'])
      await number.fill('1022')
      await page.keyboard.press('Enter')
      await eventually(chosen).toBe('Neuron 1022 of layer 5')
      await page.getByRole('button', { name: 'The unit after' }).click()
      await eventually(chosen).toBe('Neuron 1023 of layer 5')
      expect(await page.getByRole('button', { name: 'The unit after' }).isDisabled()).toBe(true)
      await page.getByLabel('Layer, and heads or neurons').selectOption('Layer 3, heads')
      await eventually(chosen).toBe('Head 7 of layer 3')
      // A layer that runs before units are chosen has no switch, not even by a key.
      await page.getByLabel('Layer, and heads or neurons').selectOption('Layer 0, heads')
      await eventually(chosen).toBe('Head 7 of layer 0')
      expect(await page.locator('#switch').isVisible()).toBe(false)
      expect(await lineOf(page, 'inspector')).toContain('all of it is computed, and no switch of it')
      await page.locator('#layers').focus()
      await page.keyboard.press('Enter')
      await page.keyboard.press('ArrowRight')
      await eventually(chosen).toBe('Head 7 of layer 1')
      expect(await page.locator('#switch').isVisible()).toBe(true)
      expect(await lineOf(page, 'switched')).toBe('No unit is switched by hand.')
      expect(await page.locator('#layer-table tbody tr').count()).toBe(8)
      expect(await page.locator('#layer-table tbody tr').first().textContent()).toContain('0, dense')
    })
  })

  test('a stop, Enter twice, and a slider that is dragged while a text is generated show no error', async () => {
    await inOpenPage(async (page) => {
      await page.evaluate(() => {
        const problem = document.getElementById('problem') as HTMLElement
        const told: string[] = []
        Object.assign(globalThis, { told })
        new MutationObserver(() => problem.textContent && told.push(problem.textContent)).observe(problem, {
          childList: true,
        })
      })
      const prompt = page.locator('#prompt')
      await rewritten(page, async () => {
        await prompt.press('Enter')
        await prompt.press('Enter')
      })
      /** Does something in the page as soon as a text is being generated, or a token of one is there. */
      const whileWriting = (
        work: (input: HTMLInputElement, stop: HTMLButtonElement) => void,
        token = '',
      ): Promise<void> =>
        page.evaluate(
          `new Promise((resolve) => {
            const [input, stop, save, write] =
              ['sparsity', 'stop', 'save', 'write'].map((id) => document.getElementById(id))
            const begin = () => {
              document.querySelector('#sparse-text .given').dataset.before = ''
              write.click()
            }
            const isThere = () => '${token}' === '' ||
              (!document.querySelector('[data-before]') && document.querySelector('${token || '*'}'))
            begin()
            requestAnimationFrame(function wait() {
              if (!stop.disabled && isThere()) return resolve((${String(work)})(input, stop))
              // On a busy machine a text can be complete before a frame shows it.
              if (!save.disabled) begin()
              requestAnimationFrame(wait)
            })
          })`,
        )
      await rewritten(page, () =>
        whileWriting((input) => {
          for (const value of ['60', '70', '80']) {
            input.value = value
            for (const type of ['input', 'change']) input.dispatchEvent(new Event(type, { bubbles: true }))
          }
        }),
      )
      expect(await lineOf(page, 'sparsity-value')).toBe('80 %')
      await whileWriting((_, stop) => stop.click(), '#dense-text .token')
      await eventually(() => page.locator('#stop').isDisabled()).toBe(true)
      expect(await lineOf(page, 'distance')).toBe('Stopped before the comparison.')
      // The end of the stopped call has arrived when another one is complete.
      await rewritten(page, () => prompt.press('Enter'))
      expect(await page.evaluate('told')).toEqual([])
    })
  })

  test('the address holds the prompt and the settings, and what does not fit is told in one line', async () => {
    const given = '#prompt=The+captain+looked+at+the+sea&sparsity=70&planner=griffin&temperature=0.5&seed=7'
    await inPage(`${isolated.url}${given}`, async (page) => {
      const stateOf = async (): Promise<unknown[]> => [
        await page.locator('#sparse-text .given').textContent(),
        await lineOf(page, 'sparsity-value'),
        await page.locator('#planner').inputValue(),
        await page.locator('#temperature').inputValue(),
        await page.locator('#text-seed').inputValue(),
      ]
      const state = await stateOf()
      expect(state).toEqual(['The captain looked at the sea', '70 %', 'griffin', '0.5', '7'])
      // It decides once, from the whole prompt.
      expect(await page.locator('#decides').isDisabled()).toBe(true)
      expect(await lineOf(page, 'decides-help')).toBe(
        'This one decides once, from the whole prompt, within each layer.',
      )
      // The ways to the other pages stand on top.
      expect(await page.locator('header .links a').allInnerTexts()).toEqual([
        'Home',
        'Annotated page',
        'Reference',
        'Sources',
        'Paper',
      ])
      expect(new URL(page.url()).hash).toBe(given)
      // The link to the specification has them too.
      const link = page.locator('header a[data-spec]')
      await link.focus()
      expect(await link.getAttribute('href')).toMatch(
        /\/spec\/#prompt=The\+captain\+looked\+at\+the\+sea&sparsity=0\.7$/,
      )
      const text = await tokensOf(page)
      await rewritten(page, () => page.getByRole('button', { name: 'Another text' }).click())
      expect(new URL(page.url()).hash).toBe(given.replace('seed=7', 'seed=8'))
      expect(await tokensOf(page)).not.toEqual(text)
      // Back to the first address, by hand.
      await rewritten(page, () => page.evaluate((hash) => void (location.hash = hash), given))
      expect(await stateOf()).toEqual(state)
      expect(await tokensOf(page)).toEqual(text)
      await rewritten(page, () => page.evaluate(() => void (location.hash = '#sparsity=99')))
      await eventually(() => lineOf(page, 'problem')).toBe(
        'address sparsity: expected a whole number from 0 to 95, got "99". Using defaults instead.',
      )
      expect(new URL(page.url()).hash).toBe('')
      // What is asked for next has nothing to do with the address.
      await rewritten(page, () => page.getByRole('button', { name: 'Another text' }).click())
      expect(await lineOf(page, 'problem')).toBe('')
    })
  })

  test('an address with wrong values is answered by name at once, before and after the model is there', async () => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
    try {
      const page = await context.newPage()
      let release: () => void = () => {}
      const held = new Promise<void>((resolve) => (release = resolve))
      await page.route('**/*.bin*', async (route) => {
        await held
        await route.continue()
      })
      await page.goto(`${isolated.url}#sparsity=abc&planner=foo`)
      const told =
        /^address sparsity: expected a whole number from 0 to 95, got "abc"; address planner: expected [^]*shadow[^]*, got "foo"\. Using defaults instead\.$/
      await eventually(() => lineOf(page, 'problem')).toMatch(told)
      expect(await page.locator('#save').isDisabled()).toBe(true)
      release()
      await written(page)
      expect(await lineOf(page, 'problem')).toMatch(told)
      expect(await lineOf(page, 'sparsity-value')).toBe('50 %')
      await page.getByRole('button', { name: 'Close this message' }).click()
      expect(await page.locator('#problem-place').isVisible()).toBe(false)
    } finally {
      await context.close()
    }
  })

  test('an example sets the prompt and the settings, and says that it is shown', async () => {
    await inOpenPage(async (page) => {
      expect(await page.locator('#prompt').getAttribute('placeholder')).toBe(emptyPrompt)
      const shown = (): Promise<string[]> =>
        page.locator('#presets button[aria-pressed="true"]').allInnerTexts()
      expect(await shown()).toEqual(['A story'])
      const text = await tokensOf(page)
      // How many units another prompt changes is told, under any sparsity, and of one way to choose alone.
      const keeps = /^(?<changed>[\d,]+) of (?<kept>[\d,]+) kept units differ from the prompt before\.$/
      await rewritten(page, () => page.getByRole('button', { name: 'At sea' }).click())
      const { changed = '', kept = '' } = keeps.exec(await lineOf(page, 'changed'))?.groups ?? {}
      expect(kept).toBe('3,612')
      expect(Number(changed.replace(',', ''))).toBeGreaterThan(0)
      await rewritten(page, () => page.getByRole('button', { name: 'Skip 85 %' }).click())
      expect(keeps.exec(await lineOf(page, 'changed'))?.groups?.kept).toBe('1,083')
      await rewritten(page, () => page.getByRole('button', { name: 'A story' }).click())
      await page.locator('#layers').focus()
      await page.keyboard.press('Enter')
      await eventually(() => new URL(page.url()).hash).toBe('#off=heads.4.6')
      await rewritten(page, () => page.getByRole('button', { name: 'Skip at random' }).click())
      expect(await lineOf(page, 'switched')).toBe('No unit is switched by hand.')
      expect(await lineOf(page, 'changed')).toMatch(/^Generate for another prompt/)
      expect(await shown()).toEqual(['Skip at random'])
      expect(await lineOf(page, 'example')).toContain('chosen by random numbers')
      expect(await page.locator('#planner').inputValue()).toBe('random')
      expect(await tokensOf(page)).not.toEqual(text)
      await rewritten(page, () => page.getByRole('button', { name: 'Ask the oracle' }).click())
      expect(await lineOf(page, 'how-other')).toContain(oracleWords)
      // A unit of score 0 is none that it chose, and has the rank of all others of that score.
      await page.getByLabel('Layer, and heads or neurons').selectOption('Layer 1, neurons')
      await page.getByLabel('Number of the unit').fill('0')
      await page.keyboard.press('Enter')
      await eventually(() => lineOf(page, 'inspector')).toMatch(
        /Kept to fill the budget: its score 0 is tied with [\d,]+\.[^]*Rank\s+[\d,]+ to 7,168 of 7,168/,
      )
      // It agrees with itself, also in the units of score 0 that fill the budget.
      const agreed = await page.locator('#layer-table td:nth-of-type(even)').allTextContents()
      expect(agreed.length).toBe(16)
      for (const words of agreed) expect(words).toMatch(/^(\d+) of \1$/)
      await rewritten(page, () => page.getByRole('button', { name: 'A story' }).click())
      expect(await tokensOf(page)).toEqual(text)
    })
  })

  test('a prompt that was typed comes back, with its settings, after examples took its place', async () => {
    await inOpenPage(async (page) => {
      const yours = page.locator('#presets button', { hasText: 'Yours' })
      expect(await yours.isVisible()).toBe(false)
      const own = 'The dog ran to the river because'
      await page.locator('#prompt').fill(own)
      await rewritten(page, () => page.getByRole('button', { name: 'Skip 85 %' }).click())
      await rewritten(page, () => page.getByRole('button', { name: 'At sea' }).click())
      expect(await page.locator('#prompt').inputValue()).toContain('captain')
      await rewritten(page, () => yours.click())
      expect(await page.locator('#prompt').inputValue()).toBe(own)
      expect(await page.locator('#sparsity').inputValue()).toBe('50')
      expect(await yours.getAttribute('aria-pressed')).toBe('true')
      expect(await page.locator('#presets button[aria-pressed="true"]').count()).toBe(1)
    })
  })

  test.each<[string, BrowserContextOptions, string]>([
    ['a desk', { viewport: { width: 1440, height: 900 } }, 'texts'],
    ['a phone', { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }, 'sparse-text'],
  ])(
    'on %s the text that is asked for is in sight; one that is refused leaves the former marked',
    async (_, options, id) => {
      await inPage(
        isolated.url,
        async (page) => {
          const isInSight = (): Promise<boolean> =>
            page.locator(`#${id}`).evaluate((element) => {
              const { top, bottom } = element.getBoundingClientRect()
              return top >= 0 && bottom <= innerHeight
            })
          const isFormer = (): Promise<boolean> =>
            page.evaluate(() => document.body.classList.contains('former'))
          await page.locator('#prompt').fill('The dog ran to the river because')
          await rewritten(page, () => page.locator('#write').click())
          await eventually(isInSight).toBe(true)
          expect(await page.evaluate(() => document.activeElement?.id)).toBe('write')
          await page.locator('#prompt').fill('word '.repeat(2000))
          await page.locator('#write').click()
          await eventually(() => lineOf(page, 'problem')).toBe(
            'The prompt is too long for this model: shorten it (prompt: expected at most 255 tokens, got 2003). Below is still the text before.',
          )
          expect(await isFormer()).toBe(true)
          expect(await page.locator('#presets button[aria-pressed="true"]').count()).toBe(0)
          // The slider is below the message, also where both stay in view.
          for (const scrolled of [0, 900]) {
            await page.evaluate((top) => scrollTo({ top, behavior: 'instant' }), scrolled)
            const places = ['#problem-place', '#skip'].map((place) => page.locator(place).boundingBox())
            const [message, slider] = await Promise.all(places)
            expect(slider?.y).toBeGreaterThanOrEqual((message?.y ?? NaN) + (message?.height ?? NaN))
            expect(slider?.y).toBeLessThan(800)
          }
          await page.getByRole('button', { name: 'Close this message' }).click()
          expect(await page.locator('#problem-place').isVisible()).toBe(false)
          await rewritten(page, () => page.getByRole('button', { name: 'A story' }).click())
          expect(await isFormer()).toBe(false)
          // A change in the settings is seen above them, and told in them.
          await page.getByRole('button', { name: 'Settings' }).click()
          expect(await lineOf(page, 'criterion-help')).toMatch(
            /^It changes only the comparison with the oracle\./,
          )
          const outcome = await lineOf(page, 'outcome')
          await rewritten(page, () => page.locator('#planner').selectOption('prompt-plainact'))
          expect(await lineOf(page, 'outcome')).not.toBe(outcome)
          expect(await lineOf(page, 'outcome')).toBe(await lineOf(page, 'distance'))
          expect(await lineOf(page, 'criterion-help')).toMatch(/^Output times gradient/)
          await eventually(async () => {
            const [text, sheet] = await Promise.all(
              [`#${id}`, '#more'].map((place) => page.locator(place).boundingBox()),
            )
            return text && sheet && text.y >= 0 && text.y + text.height <= sheet.y
          }).toBe(true)
        },
        options,
        0.1,
      )
    },
  )

  test('the tour has six steps by keyboard, and gives the focus back', async () => {
    await inOpenPage(async (page) => {
      const heading = (): Promise<string | undefined> =>
        page.evaluate(() => document.activeElement?.textContent ?? undefined)
      await page.locator('#tour-start').focus()
      await page.keyboard.press('Enter')
      const headings = [await heading()]
      expect(await lineOf(page, 'tour')).toContain('Step 1 of 6')
      await eventually(() => lineOf(page, 'column-line')).toMatch(/^Token 1 of /)
      for (let step = 2; step <= 6; step++) {
        await page.keyboard.press('ArrowRight')
        expect(await lineOf(page, 'tour')).toContain(`Step ${step} of 6`)
        headings.push(await heading())
        expect(await page.locator('.toured').count()).toBe(1)
      }
      expect(new Set(headings).size).toBe(6)
      await page.keyboard.press('ArrowRight')
      await page.keyboard.press('ArrowLeft')
      expect(await lineOf(page, 'tour')).toContain('Step 5 of 6')
      for (const name of ['End the tour', 'Back', 'Next']) {
        await page.keyboard.press('Tab')
        expect(await heading()).toBe(name)
      }
      await page.keyboard.press('Enter')
      await page.getByRole('button', { name: 'Done' }).click()
      expect(await page.locator('#tour').isVisible()).toBe(false)
      expect(await page.locator('.toured').count()).toBe(0)
      expect(await heading()).toBe('Take the tour')
      await page.keyboard.press('Enter')
      await page.locator('#prompt').focus()
      await page.keyboard.press('Escape')
      expect(await page.locator('#tour').isVisible()).toBe(false)
    })
  })

  test('what a head, a neuron and the oracle are is told on hover and on focus', async () => {
    await inOpenPage(async (page) => {
      const tip = page.locator('#tip')
      for (const term of ['head', 'neuron', 'oracle']) {
        const word = page.locator(`[data-term="${term}"]`).first()
        await word.focus()
        const words = await tip.innerText()
        expect(words.length).toBeGreaterThan(60)
        // Screen readers read the same.
        const about = await word.getAttribute('aria-describedby')
        expect(await page.locator(`#${about}`).textContent()).toBe(words)
        await page.keyboard.press('Escape')
        expect(await tip.isVisible()).toBe(false)
        await word.hover()
        expect(await tip.innerText()).toBe(words)
        await page.mouse.move(1, 1)
        await eventually(() => tip.isVisible()).toBe(false)
      }
      // In the settings it is seen too, and Escape closes it before them.
      await page.getByRole('button', { name: 'Settings' }).click()
      for (const term of ['scope', 'criterion', 'temperature']) {
        await page.locator(`[data-term="${term}"]`).click()
        const isOnTop = await tip.evaluate((box) => {
          box.style.pointerEvents = 'auto' // Otherwise it is never what lies under a point.
          const { left, top, right, bottom } = box.getBoundingClientRect()
          const places = [left + 9, (left + right) / 2, right - 9].flatMap((x) => [
            [x, top + 9],
            [x, bottom - 9],
          ])
          const isAll = places.every(([x, y]) => document.elementFromPoint(x, y) === box)
          box.style.pointerEvents = ''
          return isAll
        })
        expect(isOnTop).toBe(true)
      }
      await page.keyboard.press('Escape')
      expect([await tip.isVisible(), await page.locator('#more').isVisible()]).toEqual([false, true])
      await page.keyboard.press('Escape')
      await eventually(() => page.locator('#more').isVisible()).toBe(false)
      // Scrolling hides what no longer stands beside its word, and keeps what was shown after it, though its event comes later.
      for (const [isScrolledFirst, isKept] of [
        [true, true],
        [false, false],
      ]) {
        await page.evaluate(() => scrollTo(0, 0))
        await page.evaluate(async (isFirst) => {
          const frame = (): Promise<unknown> => new Promise(requestAnimationFrame)
          await frame()
          await frame()
          const word = document.querySelector('[data-term="head"]')
          if (isFirst) scrollTo(0, 20)
          word?.dispatchEvent(new PointerEvent('pointerenter'))
          if (!isFirst) scrollTo(0, 20)
          await frame()
          await frame()
        }, isScrolledFirst)
        expect(await tip.isVisible()).toBe(isKept)
      }
      await page.evaluate(() => scrollTo(0, 0))
      // A disc of the picture.
      await page.locator('#layers').hover({ position: { x: 66, y: 40 } })
      await eventually(() => tip.isVisible()).toBe(true)
      expect(await tip.innerText()).toBe('Head 0 of layer 0: always computed.')
      await page.locator('#layers').hover({ position: { x: 166, y: 40 } })
      await eventually(() => tip.innerText()).toMatch(
        /^Head 0 of layer 1: (kept|skipped)\. Score \S+, rank \d+ of 56\.$/,
      )
      // The diamond behind layer 0.
      await page.locator('#layers').hover({ position: { x: 147, y: 11 } })
      await eventually(() => tip.innerText()).toMatch(/^The predictor: .*look inside\.$/)
    })
  })

  test('a trace is saved and opens again unchanged; a hostile one is refused in one line', async () => {
    await inOpenPage(async (page) => {
      const [download] = await Promise.all([page.waitForEvent('download'), page.locator('#save').click()])
      const file = join(folder, download.suggestedFilename())
      await download.saveAs(file)
      const before = {
        text: await tokensOf(page),
        distance: await lineOf(page, 'distance'),
        words: await lineOf(page, 'achieved'),
      }
      await rewritten(page, () => page.getByRole('button', { name: 'Skip at random' }).click())
      expect(await tokensOf(page)).not.toEqual(before.text)
      await page.locator('#trace').setInputFiles(file)
      await eventually(() => lineOf(page, 'trace-answer')).toBe(
        `${before.text.length} tokens of tiny-opt in four bits, as saved.`,
      )
      await eventually(() => tokensOf(page)).toEqual(before.text)
      expect({
        distance: await lineOf(page, 'distance'),
        words: await lineOf(page, 'achieved'),
      }).toMatchObject({ distance: before.distance, words: before.words })
      expect(await page.locator('#planner').inputValue()).toBe('shadow')
      // Under another sparsity it is not shown as saved.
      await rewritten(page, () =>
        page.locator('#sparsity').evaluate((input: HTMLInputElement) => {
          input.value = '60'
          for (const type of ['input', 'change']) input.dispatchEvent(new Event(type, { bubbles: true }))
        }),
      )
      expect(await page.locator('#trace-answer').textContent()).toBe('')
      await page.locator('#trace').setInputFiles(file)
      await eventually(() => tokensOf(page)).toEqual(before.text)
      const hostile = join(folder, 'hostile.trace.safetensors')
      writeFileSync(hostile, readFileSync(file).subarray(0, 5000))
      await page.locator('#trace').setInputFiles(hostile)
      await eventually(() => lineOf(page, 'trace-answer')).toMatch(
        /^hostile\.trace\.safetensors cannot be opened: [^\n]*expected[^\n]*\[[A-Z_]+\]$/,
      )
      const other = { name: 'cat.json', mimeType: 'application/json', buffer: Buffer.from('{"a":1}') }
      await page.locator('#trace').setInputFiles(other)
      await eventually(() => lineOf(page, 'trace-answer')).toBe(
        'cat.json is not a trace that this page saved.',
      )
      expect(await tokensOf(page)).toEqual(before.text)
    })
  })

  test('a folder opens as a model; a broken one is refused and the model stays', async () => {
    await inOpenPage(async (page) => {
      await rewritten(page, () => page.locator('#folder').setInputFiles(path('fixtures/tiny-opt')))
      await eventually(() => lineOf(page, 'model-line')).toMatch(/^tiny-opt: 8 layers/)
      expect((await tokensOf(page)).length).toBeGreaterThan(1)
      await page.locator('#folder').setInputFiles(path('fixtures/hostile'))
      await eventually(() => lineOf(page, 'problem')).toBe(
        'hostile is not a model. A model is a GGUF file, or a folder with config.json.',
      )
      expect(await lineOf(page, 'model-line')).toMatch(/^tiny-opt: 8 layers/)
      // Dropped, as a file system gives it.
      await page.evaluate(() => {
        const transfer = new DataTransfer()
        transfer.items.add(new File(['{}'], 'config.json'))
        document.body.dispatchEvent(
          new DragEvent('dragover', { dataTransfer: transfer, bubbles: true, cancelable: true }),
        )
      })
      await eventually(() => page.locator('#drop').isVisible()).toBe(true)
      await page.evaluate(() => {
        const transfer = new DataTransfer()
        transfer.items.add(new File(['{}'], 'config.json'))
        document.body.dispatchEvent(
          new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }),
        )
      })
      await eventually(() => lineOf(page, 'problem')).toMatch(
        /expected model\.safetensors[^]*\[MODEL_WEIGHTS\]$/,
      )
      expect(await page.locator('#drop').isVisible()).toBe(false)
      // What is done next clears it.
      await page
        .locator('#trace')
        .setInputFiles({ name: 'a.json', mimeType: 'application/json', buffer: Buffer.from('{}') })
      await eventually(() => page.locator('#problem-place').isVisible()).toBe(false)
    }, 0.1)
  })

  test('a GGUF file opens as a model, chosen or dropped', async () => {
    await inOpenPage(async (page) => {
      const file = path('fixtures/golden-llama/gguf/models/llama_gqa.Q4_1.gguf')
      await page.locator('#gguf').setInputFiles(file)
      const line = /^llama_gqa\.Q4_1\.gguf: 3 layers of 4 heads and 56 neurons/
      await eventually(() => lineOf(page, 'model-line')).toMatch(line)
      await page.locator('#embedded').click()
      await eventually(() => lineOf(page, 'model-line')).toMatch(/^The embedded model/)
      // In int4 there are no gradients, so there is no oracle.
      await page.locator('#storage').selectOption('int4')
      const bytes = [...readFileSync(file)]
      await page.evaluate((values) => {
        const transfer = new DataTransfer()
        transfer.items.add(new File([Uint8Array.from(values)], 'llama_gqa.Q4_1.gguf'))
        document.body.dispatchEvent(
          new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }),
        )
      }, bytes)
      await eventually(() => lineOf(page, 'model-line')).toMatch(line)
      // It has no predictor, so that another planner decides.
      await eventually(() => lineOf(page, 'problem')).toMatch(/^This model has no predictor\./)
      await written(page, '')
      expect(await lineOf(page, 'model-line')).toContain('int4 weights')
      expect(await page.locator('#compare').isDisabled()).toBe(true)
      expect(await page.locator('#planner').inputValue()).toBe('griffin')
      // Nothing on the page speaks of a predictor.
      expect(await page.locator('#how-predictor').isVisible()).toBe(false)
      expect(await lineOf(page, 'how-other')).toMatch(/^No predictor decides here/)
      expect(await page.locator('#features').isVisible()).toBe(false)
      expect((await tokensOf(page)).length).toBeGreaterThan(1)
      await rewritten(page, () => page.locator('#embedded').click())
      expect(await page.locator('#planner').inputValue()).toBe('shadow')
      expect(await page.locator('#how-predictor').isVisible()).toBe(true)
      expect(await lineOf(page, 'problem')).toBe('')
    })
  })

  test('GGUF files of Qwen 3, Gemma 2 and Gemma 3 open as models, and write under a mask', async () => {
    await inOpenPage(async (page) => {
      for (const [family, layers] of [
        ['qwen3', 3],
        ['gemma2', 4],
        ['gemma3', 7],
      ] as const) {
        const name = `${family}.F32.gguf`
        const file = path(`fixtures/golden-families/gguf/${name}`)
        await rewritten(page, () => page.locator('#gguf').setInputFiles(file))
        await eventually(() => lineOf(page, 'model-line')).toMatch(
          new RegExp(`^${name}: ${layers} layers of 4 heads and 56 neurons`),
        )
        await eventually(() => lineOf(page, 'problem')).toMatch(/^This model has no predictor\./)
        await written(page)
        expect(await page.locator('#planner').inputValue()).toBe('griffin')
        expect((await tokensOf(page)).length).toBeGreaterThan(1)
      }
    })
  })

  test('a model of the hub is looked up, then downloaded and opened', async () => {
    const hub = await MockHub.start()
    for (const name of [
      'config.json',
      'model.safetensors',
      'predictor.safetensors',
      'vocab.json',
      'merges.txt',
    ])
      hub.files.set(name, readFileSync(path(`fixtures/tiny-opt/${name}`)))
    try {
      await inOpenPage(async (page) => {
        await page.context().route('https://huggingface.co/**', async (route) => {
          const { pathname, search } = new URL(route.request().url())
          const answer = await fetch(`${hub.endpoint}${pathname}${search}`)
          const headers = {
            'content-type': answer.headers.get('content-type') ?? '',
            'access-control-allow-origin': '*',
            'cross-origin-resource-policy': 'cross-origin',
          }
          await route.fulfill({
            status: answer.status,
            headers,
            body: Buffer.from(await answer.arrayBuffer()),
          })
        })
        await page.locator('#hub-id').fill(hub.id)
        await page.locator('#hub').getByText('Look up').click()
        await eventually(() => lineOf(page, 'hub-answer')).toBe(
          'someone/tiny at aaaaaaaa: 7 million parameters. To download: 16 MB. In memory: 16 MB as in the file, and the download beside it.',
        )
        expect(hub.served).toEqual(['config.json'])
        await page.locator('#storage').selectOption('int8')
        await eventually(() => lineOf(page, 'hub-answer')).toContain('8 MB as int8')
        await rewritten(page, () => page.locator('#hub-open').click(), '')
        await eventually(() => lineOf(page, 'model-line')).toMatch(/^someone\/tiny: 8 layers[^]*int8 weights/)
        expect((await tokensOf(page)).length).toBeGreaterThan(1)
        await page.locator('#hub-id').fill('not a name')
        await page.locator('#hub').getByText('Look up').click()
        await eventually(() => lineOf(page, 'hub-answer')).toMatch(
          /^model: expected a name such as [^\n]*\[HUB_ID\]$/,
        )
      })
    } finally {
      await hub.stop()
    }
  })

  test('the laws run in the page, with the shown seed', async () => {
    await inOpenPage(async (page) => {
      await page.locator('#seed').fill('7')
      // The page itself stops the run after three laws, because a stop from here could come after the last.
      await page.evaluate(() =>
        new MutationObserver(() => {
          if (document.querySelectorAll('#verify-table .held').length > 2)
            document.querySelector<HTMLButtonElement>('#verify-stop')?.click()
        }).observe(document.body, { childList: true, subtree: true }),
      )
      await page.locator('#verify').getByText('Verify', { exact: true }).click()
      await eventually(() => lineOf(page, 'verify-answer')).toMatch(
        /^Seed 7: \d+ laws held, 0 broken\. Stopped\.$/,
      )
      // Folded by suite, each with its count.
      const suites = page.locator('#verify-table details')
      expect(await suites.first().locator('tr').first().isVisible()).toBe(false)
      const words = await suites.locator('summary').allInnerTexts()
      for (const line of words) expect(line).toMatch(/^[^:]+: \d+ laws? held, 0 broken$/)
      const rows = await page.locator('#verify-table .held').count()
      expect(words.reduce((sum, line) => sum + Number(/: (\d+) /.exec(line)?.[1]), 0)).toBe(rows)
      await suites.first().locator('summary').click()
      expect(await suites.first().locator('.held').first().isVisible()).toBe(true)
      await page.locator('#seed').fill('seven')
      await page.locator('#verify').getByText('Verify', { exact: true }).click()
      await eventually(() => lineOf(page, 'verify-answer')).toBe(
        'seed: expected a whole number from 0 to 2147483647, got seven [SEED]',
      )
    }, 0.1)
  })

  test.each<[string, BrowserContextOptions]>([
    ['on a phone', { viewport: { width: 360, height: 780 }, isMobile: true, hasTouch: true }],
    ['in the dark, without movement', { colorScheme: 'dark', reducedMotion: 'reduce' }],
  ])('%s, no word is cut, and the picture has the colours of the page', async (_, options) => {
    await inPage(
      plain.url,
      async (page) => {
        const isDark = options.colorScheme === 'dark'
        // Units that are kept, in blue; the picture grows while it moves.
        const kept = isDark ? 'rgb(74, 163, 223)' : 'rgb(0, 114, 178)'
        await eventually(() => page.evaluate(dotsOf, kept)).toBeGreaterThan(1000)
        const { scroll, client, paper } = await page.evaluate(() => {
          const { scrollWidth: scroll, clientWidth: client } = document.documentElement
          return { scroll, client, paper: getComputedStyle(document.body).backgroundColor }
        })
        expect(scroll).toBeLessThanOrEqual(client)
        expect(paper).toBe(isDark ? 'rgb(20, 24, 28)' : 'rgb(255, 255, 255)')
        expect(await page.evaluate(cutWords)).toEqual([])
        if (options.hasTouch) {
          // A finger is 44 pixels wide; around a word that is a button, the paper is the button too.
          const high = await page.evaluate(() => {
            const feltAt = (word: Element, by: number): number => {
              const { left, top, bottom } = word.getBoundingClientRect()
              const reach = [top - by, bottom + by].filter(
                (y) => document.elementFromPoint(left + 4, y) === word,
              )
              return bottom - top + by * reach.length
            }
            const [word] = document.querySelectorAll('#skip .term')
            const buttons = [...document.querySelectorAll('#presets button:not([hidden])')]
            return [...buttons.map((one) => one.getBoundingClientRect().height), feltAt(word, 9)]
          })
          expect(Math.min(...high)).toBeGreaterThanOrEqual(44)
          // The second row: a sheet says what a finger chose, and nothing lies over the picture.
          await page.locator('#layers').tap({ position: { x: 50, y: 100 } })
          await eventually(() => page.locator('#inspector h3').innerText()).toMatch(/^Head \d of layer 1$/)
          expect(await page.locator('#tip').isVisible()).toBe(false)
          // The comparison is reached above the sheet.
          await page.locator('#compare').tap({ timeout: 10_000 })
          expect([
            await page.locator('#compare').isChecked(),
            await page.locator('#inspector').isVisible(),
          ]).toEqual([true, true])
          await page.locator('#compare').tap({ timeout: 10_000 })
          // Another example closes it.
          await page
            .locator('#presets button')
            .first()
            .evaluate((button: HTMLButtonElement) => button.click())
          await eventually(() => page.locator('#inspector').isVisible()).toBe(false)
          await written(page)
          // What the cut is made of stands before the cut.
          const tops = await page
            .locator('#features, #sorted-heads')
            .evaluateAll((all) => all.map((one) => one.getBoundingClientRect().top))
          expect(tops[0]).toBeLessThan(tops[1])
        }
        await page.getByRole('button', { name: 'Settings' }).click()
        expect(await page.evaluate(cutWords)).toEqual([])
        await page.keyboard.press('Escape')
        // It is in front of what was open.
        if (options.hasTouch) await page.locator('#layers').tap({ position: { x: 50, y: 100 } })
        await page.locator('#tour-start').click()
        expect(await page.evaluate(cutWords)).toEqual([])
        const isInFront = await page.locator('#tour').evaluate((box) => {
          const { left, top, width, height } = box.getBoundingClientRect()
          return box.contains(document.elementFromPoint(left + width / 2, top + height / 2))
        })
        expect(isInFront).toBe(true)
      },
      options,
    )
  })
})
