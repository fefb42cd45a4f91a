/**
 * The annotated specification in a real browser: its values, with texts by the engine, are those of the specification in Node, bit
 * for bit; nothing is fetched before a setting changes; every law beside a definition holds, and every bug is found; it can be read
 * without a script, in the dark and on a phone; nothing is logged.
 *
 * Tests src/web/spec_page/operations.ts, src/web/spec_page/figures.ts, src/web/spec_page/law_buttons.ts, src/web/spec_page/method.ts,
 * src/web/spec_page/plants.ts, src/web/spec_page/readout.ts, src/web/spec_page/settings.ts, src/web/spec_page/texts.ts,
 * src/web/spec_page/try_law.ts and src/web/spec_page/worker.ts.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { readingOrder } from '../../../scripts/spec_page/document.ts'
import { figures } from '../../../src/web/spec_page/figures.ts'
import { unpackValues, type PackedValues } from '../../../src/web/spec_page/given_values.ts'
import {
  computeSteps,
  openSpecModel,
  type SomeSteps,
  type SpecModel,
} from '../../../src/web/spec_page/method.ts'
import { proofs } from '../../../src/web/spec_page/proofs.ts'
import { defaultSettings, readSettings, type Settings } from '../../../src/web/spec_page/settings.ts'
import { sameBits } from '../../../src/web/spec_page/same_steps.ts'
import { stations } from '../../../src/web/spec_page/strip.ts'
import { emptyPrompt } from '../../../src/web/view/glossary.ts'
import { root } from '../../harness/syntax.ts'
import { browseSite, cannotBrowse, whyNotBrowsed } from '../browsed_site.ts'
import { watchPage } from '../chromium.ts'

const timeout = 300_000

const cases: readonly Settings[] = [
  defaultSettings,
  { prompt: 'The captain looked at the sea and', source: 'oracle', sparsity: 0.5, scope: 'per-layer' },
  { prompt: 'Ähnlich wie 東京?', source: 'random', sparsity: 0.9, scope: 'hybrid' },
]

/** Every number of the steps as bits, and every text. */
function bitsOf(steps: unknown): string {
  const hash = createHash('sha256')
  JSON.stringify(steps, (key, value: unknown) => {
    if (ArrayBuffer.isView(value)) {
      hash.update(key).update(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
      return null
    }
    if (typeof value !== 'object') hash.update(`${key}:${String(value)};`)
    return value
  })
  return hash.digest('hex')
}

async function stepsHere(model: SpecModel, settings: Settings): Promise<SomeSteps> {
  let steps: SomeSteps = {}
  for await (const more of computeSteps(model, settings)) steps = { ...steps, ...more }
  return steps
}

describe.skipIf(cannotBrowse)(`the annotated specification${whyNotBrowsed}`, { timeout }, () => {
  const site = browseSite('spec', timeout)

  /** Opens the page, does something, and expects that it logged nothing. */
  async function inPage(
    address: string,
    work: (page: Page) => Promise<void>,
    options: BrowserContextOptions = {},
  ): Promise<void> {
    const context = await site.browser.newContext(options)
    try {
      const page = await context.newPage()
      const said = watchPage(page)
      await page.goto(`${site.url}${address}`)
      await work(page)
      expect([...said.lines, ...said.faults]).toEqual([])
    } finally {
      await context.close()
    }
  }

  const computed = (page: Page): Promise<void> =>
    page.locator('#state', { hasText: 'Computed here' }).waitFor()

  test('values are those of Node, bit for bit, for three prompts', async () => {
    const worker = readdirSync(join(site.folder, 'assets')).find((name) => /^worker-.*\.js$/.test(name))
    // Where the page checks them, the specification has the bits of the engine (below); in Node it wrote those that the page carries.
    const engine = await openSpecModel('engine')
    const html = readFileSync(join(site.folder, 'index.html'), 'utf8')
    const [, values] = /id="values">(.*?)</.exec(html) ?? expect.unreachable()
    await inPage('operations.html', async (page) => {
      for (const [i, settings] of cases.entries()) {
        // Typed arrays come back as lists of bytes, and are hashed here.
        const packed = await page.evaluate<Record<string, unknown>>(
          `new Promise((resolve, reject) => {
            const worker = new Worker('assets/${worker}', { type: 'module' })
            let steps = {}
            const pack = (value) => ArrayBuffer.isView(value)
              ? { bytes: Array.from(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)) }
              : Array.isArray(value) ? value.map(pack)
              : value !== null && typeof value === 'object'
                ? Object.fromEntries(Object.entries(value).map(([key, own]) => [key, pack(own)]))
                : value
            worker.onmessage = ({ data }) => {
              if (data.kind === 'step') steps = { ...steps, ...data.value }
              if (data.kind === 'value') resolve(pack(steps))
              if (data.kind === 'error') reject(new Error(JSON.stringify(data.error)))
            }
            worker.postMessage({ kind: 'call', id: 1, name: 'steps', args: [${JSON.stringify(settings)}, 'engine'] })
          })`,
        )
        const own = await stepsHere(engine, settings)
        expect(bitsOf(unpack(packed))).toBe(bitsOf(own))
        const { predicted, plainact } = own
        if (i === 0)
          expect(sameBits(unpackValues(JSON.parse(values) as PackedValues), { predicted, plainact })).toBe(
            true,
          )
      }
    })
  })

  test('every figure is there, before and after the values are computed', async () => {
    const html = readFileSync(join(site.folder, 'index.html'), 'utf8')
    for (const { address } of [...figures, ...stations]) expect(html).toContain(`id="figure.${address}"`)
    // What is skipped is told before the chapters, and leads to those that say why.
    const [, told] = /id="skipped">([^]*?)<\/p>[^]*<main>/.exec(html) ?? expect.unreachable()
    for (const words of ['rows of query, key and value', 'row of fc1', 'layers 1 on', 'multiplies'])
      expect(told.replace(/\s+/g, ' ')).toContain(words)
    for (const [, id] of told.matchAll(/href="#(.*?)"/g)) expect(html).toContain(`id="${id}" data-path`)
    const order = ['class="steps"', 'class="strip"', 'Stop here', 'class="symbols"', 'id="break"', '<main>']
    const places = order.map((part) => html.indexOf(part))
    expect(places).toEqual(places.filter((place) => place > 0).toSorted((a, b) => a - b))
    // And again before what the models are written in; how code is read, before the code.
    expect(html).toMatch(/Stop here if the method[^\n]*<section class="chapter" id="program"/)
    expect(html.indexOf('underlined in code')).toBeLessThan(html.indexOf('<main>'))
    expect(html.indexOf('claims that are tested')).toBeLessThan(html.indexOf('class="steps"'))
    await inPage('?sparsity=0.5&scores=oracle&order=sorted', async (page) => {
      await computed(page)
      expect(await page.locator('figure').count()).toBe(figures.length)
      expect(await page.locator('figure:not(:has(figcaption))').count()).toBe(0)
      expect(await page.locator('#source').inputValue()).toBe('oracle')
      await page.locator('#prompt').fill('Two ships')
      await expect.poll(() => page.url(), { timeout }).toContain('prompt=Two+ships')
      const { tokenizer } = await openSpecModel()
      const { length } = tokenizer.encode('Two ships', { prefix: true })
      await expect.poll(() => page.locator('.tokens li').count(), { timeout }).toBe(length)
      expect(await page.locator('#live').getAttribute('href')).toContain('prompt=Two+ships')
      // Longer than the page computes: told before, and not cut.
      expect(await page.locator('.try .prompt').innerText()).toContain('up to 64 tokens')
      await page.locator('#prompt').fill('sea '.repeat(70))
      await page.locator('#prompt').press('Enter')
      await expect
        .poll(() => page.locator('#state').textContent(), { timeout })
        .toMatch(
          /^prompt: expected at most 64 tokens, its start token included, got 7\d\. The figures are still those of the prompt before; [^]*\.$/,
        )
      expect(await page.locator('#prompt').inputValue()).toBe('sea '.repeat(70))
      // Without words: what the model begins with, in the words of the live page.
      await page.locator('#prompt').fill('')
      await page.locator('#prompt').press('Enter')
      await expect
        .poll(() => page.locator('.strip > li').first().innerText(), { timeout })
        .toContain(emptyPrompt)
      expect(await page.locator('#prompt').getAttribute('placeholder')).toBe(emptyPrompt)
      expect(readSettings(page.url()).settings.prompt).toBe('')
    })
  })

  test.each(['random', 'static', 'oracle'])(
    'while the model is fetched, each figure is of the new settings (%s) or marked as of others',
    async (source) => {
      await inPage('', async (page) => {
        let release = (): void => {}
        const held = new Promise<void>((resolve) => (release = resolve))
        await page.context().route(/packedWeights/, async (route) => {
          await held
          await route.continue()
        })
        const figuresOf = (): Promise<[string, string, boolean][]> =>
          page
            .locator('[id^="figure."]')
            .evaluateAll((all) => all.map((one) => [one.id, one.textContent, one.ariaBusy === 'true']))
        await page.locator('#source').selectOption(source)
        await expect
          .poll(() => page.locator('#state').textContent(), { timeout })
          .toMatch(/Computing|Fetching/)
        const meanwhile = await figuresOf()
        release()
        await computed(page)
        const after = new Map((await figuresOf()).map(([id, ...rest]) => [id, rest]))
        for (const [id, text, isBusy] of meanwhile) {
          expect([id, after.get(id)?.[1]]).toEqual([id, false])
          if (!isBusy) expect([id, text]).toEqual([id, after.get(id)?.[0]])
        }
        expect(meanwhile.filter(([, , isBusy]) => isBusy).map(([id]) => id)).toContain(
          'figure.shadowllm.generate',
        )
        const caption = await page.locator('[id="figure.predictor.predict"] figcaption').textContent()
        expect(caption).not.toContain('The mask will keep')
      })
    },
  )

  test('the first screen has the method; nothing is fetched until a setting changes', async () => {
    const fetched: string[] = []
    await inPage(
      '',
      async (page) => {
        page.context().on('request', (request) => {
          if (!request.url().endsWith('.svg')) fetched.push(request.url())
        })
        for (const place of ['.steps', '.strip svg >> nth=0', '#sparsity']) {
          const box = await page.locator(place).boundingBox()
          expect([place, (box?.y ?? NaN) + (box?.height ?? NaN) <= 900]).toEqual([place, true])
        }
        // Values without a download: each unit of the default prompt.
        await page.locator('[data-map="predicted.heads"]').focus()
        await page.keyboard.press('ArrowRight')
        await expect
          .poll(() => page.locator('[data-readout="predicted"]').textContent(), { timeout })
          .toMatch(/^layer 1, head 1: [^]*rank \d+ of 56; (kept|skipped)/)
        expect(fetched).toEqual([])
        const slide = (value: string): Promise<void> =>
          page.locator('#sparsity').evaluate((input: HTMLInputElement, to) => {
            input.value = to
            input.dispatchEvent(new Event('input', { bubbles: true }))
          }, value)
        // The mask follows at once, and then the text, by a model that is fetched now.
        await slide('0.75')
        expect(await page.locator('[id="figure.select.selectMask"] .label').allTextContents()).toEqual([
          expect.stringMatching(/^heads: .*14 of 56 kept/),
          'neurons: the best 1,792 of 7,168 kept',
        ])
        await computed(page)
        expect(fetched.some((url) => url.includes('packedWeights'))).toBe(true)
        // From then on a setting costs what it changes.
        const secondsOf = async (act: () => Promise<unknown>): Promise<number> => {
          await act()
          await computed(page)
          return Number(/in ([\d.]+) s/.exec((await page.locator('#state').textContent()) ?? '')?.[1])
        }
        const seconds: number[] = []
        for (const value of ['0.3', '0.9', '0.5']) seconds.push(await secondsOf(() => slide(value)))
        for (const name of ['per-layer', 'hybrid', 'global'])
          seconds.push(await secondsOf(() => page.locator('#scope').selectOption(name)))
        for (const name of ['oracle', 'random', 'predicted'])
          seconds.push(await secondsOf(() => page.locator('#source').selectOption(name)))
        process.stdout.write(`seconds of settings: ${seconds.join(' ')}\n`)
        // How many depends on what else the machine does.
        expect(seconds.every(Number.isFinite)).toBe(true)
        await page.evaluate(() => {
          const told: (string | null)[] = []
          Object.assign(globalThis, { told })
          const state = document.getElementById('state') as HTMLElement
          new MutationObserver(() => told.push(state.textContent)).observe(state, { childList: true })
        })
        await page.locator('#check').click()
        await expect
          .poll(() => page.locator('#state').textContent(), { timeout })
          .toContain('has the same bits everywhere')
        // Meanwhile the parts that are done are counted.
        const done = (await page.evaluate<string[]>('told')).flatMap(
          (words) => /: (\d+) of (\d+) parts after [\d.]+ s …$/.exec(words)?.slice(1).map(Number) ?? [],
        )
        expect(done.slice(0, 2)).toEqual([0, 10])
        expect(done.at(-2)).toBeGreaterThan(0)
      },
      { viewport: { width: 1280, height: 900 } },
    )
  })

  test('with a message of two lines the definition that one jumps to is below the bar', async () => {
    await inPage(
      '',
      async (page) => {
        await page.locator('#prompt').fill('sea '.repeat(600))
        await page.locator('#prompt').press('Enter')
        await page.locator('.state.refused').waitFor()
        await page.locator('#contents a[href="#select.selectMask"]').click()
        const name = page.locator('[id="select.selectMask"] h3')
        await expect
          .poll(async () => {
            const [bar, box] = [await page.locator('#try').boundingBox(), await name.boundingBox()]
            return bar !== null && box !== null && box.y >= bar.y + bar.height && box.y < 500
          })
          .toBe(true)
      },
      { viewport: { width: 1440, height: 900 } },
    )
  })

  test('the bar of a phone says which definition is on the screen', async () => {
    await inPage(
      '#select.selectMask',
      async (page) => {
        const here = page.locator('#here')
        await expect.poll(() => here.textContent()).toMatch(/^selectMask: /)
        expect(await here.getAttribute('href')).toBe('#select.selectMask')
        // Buttons are high enough for a finger, and those of figures lead to figures alone.
        const low = await page
          .locator('button:visible')
          .evaluateAll((all) =>
            all.filter((one) => one.getBoundingClientRect().height < 40).map((one) => one.textContent),
          )
        expect(low).toEqual([])
        const ledTo = await page.evaluate(() => {
          const classes: string[] = []
          Element.prototype.scrollIntoView = function (this: Element) {
            classes.push(this.className)
            scrollBy({ top: this.getBoundingClientRect().top - 32, behavior: 'instant' })
          }
          for (let i = 0; i < 3; i++)
            document.querySelector<HTMLElement>('[aria-label="The next figure"]')?.click()
          return classes
        })
        expect(ledTo).toHaveLength(3)
        for (const classes of ledTo) expect(classes).toMatch(/\bfigure\b/)
        await page.goto('about:blank')
        await page.goto(`${site.url}#select.selectMask`)
        await expect.poll(() => here.textContent()).toMatch(/^selectMask: /)
        // The next function is no type; the contents lead back to it.
        await page.getByLabel('The next function').click()
        await expect.poll(() => here.textContent()).not.toMatch(/^selectMask: /)
        const next = await page.locator('main .row[id]').evaluateAll((rows) => {
          const at = rows.findIndex(({ id }) => id === 'select.selectMask')
          return rows
            .slice(at + 1)
            .find((row) => !/^export (?:interface|type) /.test(row.querySelector('pre')?.innerText ?? ''))?.id
        })
        expect(await here.getAttribute('href')).toBe(`#${next}`)
        await page.locator('.to-top a[href="#contents"]').click()
        await expect.poll(() => here.textContent()).toMatch(/^← back to /)
        await here.click()
        await expect.poll(() => here.getAttribute('href')).toBe(`#${next}`)
        await expect.poll(() => here.textContent()).not.toContain('back to')
        // Nothing was read before the first place.
        await page.goto('about:blank')
        await page.goto(site.url)
        await page.locator('#stops').waitFor()
        expect(await here.isVisible()).toBe(false)
        // Who decides and how much is skipped stay in view beside figures, below which nothing hides.
        await page.locator('[id="figure.select.selectMask"]').scrollIntoViewIfNeeded()
        const top = await page.locator('.quick').boundingBox()
        expect(top?.y).toBe(0)
        expect(top?.height).toBeLessThan(72)
        for (const control of ['#source', '#sparsity'])
          expect((await page.locator(control).boundingBox())?.y).toBeLessThan(72)
        const padding = (): Promise<number> =>
          page.evaluate(() => Number.parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop))
        expect(await padding()).toBeGreaterThanOrEqual(top?.height ?? NaN)
        // Also after the page was wide.
        const narrow = page.viewportSize() ?? expect.unreachable()
        const atFirst = await padding()
        await page.setViewportSize({ width: 1280, height: 900 })
        await expect.poll(padding, { timeout }).toBeGreaterThan(atFirst)
        await page.setViewportSize(narrow)
        await expect.poll(padding, { timeout }).toBe(atFirst)
        // A finger that taps a map reads it.
        await page.locator('[data-map="predicted.heads"]').tap({ position: { x: 3, y: 3 } })
        await expect
          .poll(() => page.locator('[data-readout="predicted"]').textContent(), { timeout })
          .toMatch(/^layer 1, head 0: /)
        expect(await page.locator('[data-map="predicted.heads"] .hit').getAttribute('x')).toBe('0')
        // The bar is one row of buttons high.
        expect((await page.locator('.to-top').boundingBox())?.height).toBeLessThan(56)
        // A line that is broken goes on behind its indent, and a line of code is copied as it is.
        const lines = await page.locator('.row > pre .line').evaluateAll((all) =>
          all
            .filter((line) => line.getBoundingClientRect().height > 24)
            .map((line) => {
              const { textIndent, paddingLeft } = getComputedStyle(line)
              const indent = /^ */.exec(line.textContent ?? '')?.[0].length ?? 0
              return parseFloat(textIndent) < 0 && parseFloat(paddingLeft) > Math.min(indent, 8) * 6
            }),
        )
        expect(lines.length).toBeGreaterThan(20)
        expect(lines).not.toContain(false)
        // The table of differences says of one what it changes, as it was measured.
        expect(await page.locator('#compared-title + p').innerText()).toMatch(
          /as released, .* costs 0\.\d+ ± 0\.\d+ nats .* already pruned, 0\.\d+ ± /,
        )
        // The operations have the same bar but for figures, laws and settings, and the same ways out.
        await page.goto(`${site.url}operations.html#attention.attention`)
        await expect.poll(() => here.textContent()).toBe('attention')
        const links = (place: string): Promise<string[]> => page.locator(`${place} a:visible`).allInnerTexts()
        expect(await links('.to-top')).toEqual(['attention', 'Contents'])
        expect(await links('.links')).toEqual([
          'Home',
          'Live page',
          'Annotated page',
          'Reference',
          'Sources',
          'Paper',
        ])
        expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(
          0,
        )
      },
      { viewport: { width: 375, height: 700 }, isMobile: true, hasTouch: true },
    )
  })

  test('every control has a name', async () => {
    await inPage('', async (page) => {
      const unnamed = await page.evaluate(() =>
        [
          ...document.querySelectorAll<HTMLElement>(
            'button, input, select, textarea, summary, a[href], svg[tabindex]',
          ),
        ]
          .filter((control) => {
            const labels = [...((control as HTMLInputElement).labels ?? [])].map(
              ({ textContent }) => textContent,
            )
            return (
              [control.getAttribute('aria-label') ?? '', control.textContent, ...labels].join('').trim() ===
              ''
            )
          })
          .map(({ id, tagName }) => `${tagName} ${id}`),
      )
      expect(unnamed).toEqual([])
      const labels = await page
        .locator('#sparsity')
        .evaluate((input: HTMLInputElement) => [...(input.labels ?? [])].map((label) => label.innerText))
      expect(labels).toEqual(['Sparsity'])
    })
  })

  test('a bug that is chosen at the top is planted, and breaks its law', async () => {
    await inPage('', async (page) => {
      // Of all bugs this one has the smallest cases.
      await page.locator('#bug').selectOption('select.keepBest')
      expect(await page.locator('#break [data-bug]:visible').count()).toBe(1)
      await page.locator('#plant').click()
      await page.locator('#break [data-result="broken"]').waitFor()
      expect(await page.locator('#break .verdict').textContent()).toContain('The law is broken by case')
    })
  })

  test('each law holds, and each bug is found with a counterexample', { timeout: 3 * timeout }, async () => {
    await inPage('', async (page) => {
      const tried = new Set<string>()
      for (const { address, law } of proofs) {
        const place = page.locator(`[id="law.${address}"]`)
        const press = async (name: RegExp): Promise<string> => {
          const button = place.getByRole('button', { name })
          await button.click()
          // Buttons wait for the verdict.
          await expect.poll(() => button.isEnabled(), { timeout }).toBe(true)
          return `${address}: ${(await place.locator('.verdict').allTextContents()).join('')}`
        }
        // Some definitions have the same law beside them.
        if (!tried.has(law)) {
          expect(await press(/^Try /)).toContain('The law holds on')
          expect(await place.locator('p:has(button) + .verdict').first().textContent()).toContain('holds on')
        }
        tried.add(law)
        expect(await press(/^Plant it: /)).toContain('The law is broken by case')
        expect(await place.locator('.verdict p').first().textContent()).toContain('with this bug differ')
        await place.locator('.verdict summary').click()
        const pre = place.locator('[data-result="broken"] pre')
        expect(await pre.isVisible()).toBe(true)
        const lines = ((await pre.textContent()) ?? '').split('\n')
        expect(lines.length, address).toBeLessThanOrEqual(20)
        expect(lines[0], address).toMatch(/with the bug .+, without it /)
        expect(lines.slice(1).join('\n'), address).toMatch(/ = (.*\n)+seed -?\d+, path /)
      }
    })
  })

  test.each([
    ['dark', { colorScheme: 'dark' }],
    ['a phone', { viewport: { width: 375, height: 700 }, isMobile: true, hasTouch: true }],
  ] as const)('it fits, in %s', async (_, options) => {
    await inPage(
      '',
      async (page) => {
        const wide = await page.evaluate(
          '(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.documentElement)',
        )
        expect(wide).toBeLessThanOrEqual(0)
      },
      options,
    )
  })

  test('without a script it has all words, code and figures', async () => {
    await inPage(
      '',
      async (page) => {
        const { size } = readingOrder(readFileSync(join(root, 'docs/guides/read.md'), 'utf8'))
        expect(await page.locator('.chapter').count()).toBe(size)
        expect(await page.locator('.row > pre code').first().isVisible()).toBe(true)
        expect(await page.locator('figure').count()).toBe(figures.length)
        expect(await page.locator('button:visible').count()).toBe(0)
        expect(await page.locator('#try').isVisible()).toBe(false)
      },
      { javaScriptEnabled: false },
    )
  })
})

/** What a page packed, with its typed arrays as bytes. */
function unpack(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unpack)
  if (typeof value !== 'object' || value === null) return value
  if ('bytes' in value) return Uint8Array.from(value.bytes as number[])
  return Object.fromEntries(Object.entries(value).map(([key, own]) => [key, unpack(own)]))
}
