/**
 * The reference in a real browser: its search finds guides, their sections and the main module first, and on a phone no line is cut.
 * And the home page, whose lines of code install the package.
 *
 * Tests docs/words.mjs, docs/titles.mjs and docs/search.mjs.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { inflateSync } from 'node:zlib'
import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, test } from 'vitest'
import { synonyms } from '../../docs/synonyms.mts'
import { browseSite, cannotBrowse, whyNotBrowsed } from './browsed_site.ts'
import { queries } from './reference_queries.ts'

const timeout = 600_000

/** What the search of the built reference knows. */
function searchData(folder: string): {
  readonly rows: readonly { readonly name: string; readonly line?: string }[]
} {
  const script = readFileSync(join(folder, 'reference/assets/search.js'), 'utf8')
  const [packed] = /(?<=searchData = ")[^"]+/.exec(script) ?? ['']
  return JSON.parse(inflateSync(Buffer.from(packed, 'base64')).toString()) as ReturnType<typeof searchData>
}

describe.skipIf(cannotBrowse)(`the reference${whyNotBrowsed}`, { timeout }, () => {
  const site = browseSite('', timeout)

  /** The start page with its search open, for all queries: each new page would load the index again. */
  let searching: Page
  beforeAll(async () => {
    searching = await site.browser.newPage()
    await searching.goto(`${site.url}reference/index.html`)
    await searching.keyboard.press('/')
    await searching.locator('#tsd-search-status:empty').waitFor({ state: 'attached' })
  }, timeout)

  /** What the search lists, without spaces between the parts of a name. */
  async function found(query: string): Promise<string[]> {
    const list = searching.locator('#tsd-search-results')
    await list.evaluate((before) => before.replaceChildren())
    await searching.locator('#tsd-search-input').fill(query)
    await list.locator('li').first().waitFor()
    return (await list.locator('li .text').allInnerTexts()).map((text) => text.trim())
  }

  test('the code of an error leads to where its page explains it, and words of the page to the page', async () => {
    expect((await found('UNKNOWN_COMMAND'))[0]).toBe('UNKNOWN_COMMAND')
    for (const query of ['error code list', 'exit codes'])
      expect((await found(query)).slice(0, 3).join(), query).toContain(
        'Errors: the list of error codes and exit codes',
      )
  })

  test('a guide is among the first three results for words of its title', async () => {
    const guide = 'From a model to sparse text: calibrate, train, measure, generate'
    expect((await found('calibrate train')).slice(0, 3)).toContain(guide)
    expect((await found('sparsity')).slice(0, 3).join()).toContain('What a sparsity costs')
    expect((await found('gguf'))[0]).toBe('Run a GGUF file')
    // Of its file, and of what it holds; the list of changes is none.
    expect((await found('evidence'))[0]).toBe('How published figures are made')
    expect((await found('install'))[0]).toBe('Install it')
    expect((await found('obs')).slice(0, 3)).toContain('Make up for skipped units')
    expect((await found('griffin')).slice(0, 3).join()).toContain('Planners')
    expect((await found('least squares'))[0]).toBe('Make up for skipped units')
    for (const query of ['compensate', 'griffin', 'sampler'])
      expect((await found(query)).filter((name) => name.startsWith('Changes'))).toEqual([])
    expect((await found('compensate'))[0]).toBe('Make up for skipped units')
    expect((await found('compensate')).slice(0, 5).join()).toContain('What takes the place of a skipped unit')
  })

  test('a term is explained before members of its name are listed, in the sentence that has it', async () => {
    const linesOf = (): Promise<string[]> => searching.locator('#tsd-search-results .line').allInnerTexts()
    expect((await found('KL'))[0]).toBe('KL')
    expect((await linesOf())[0]).toMatch(/^KL, in nats: how far the next-word probabilities are/)
    expect((await found('int4')).slice(0, 3).filter((name) => /^(?:\w+\.)*int4$/.test(name))).toEqual([])
    for (const line of (await linesOf()).slice(0, 3)) expect(line).toMatch(/\bint4\b/i)
  })

  test('a name of the main module is before the same of another, and none is listed twice', async () => {
    const names = await found('generate')
    const main = names.indexOf('shadowllm.ShadowModel.generate')
    expect(main).toBeGreaterThanOrEqual(0)
    expect(names.indexOf('shadowllm/worker.RemoteModel.generate')).toBeGreaterThan(main)
    expect((await found('selectMask')).filter((name) => name.endsWith('selectMask'))).toEqual([
      'shadowllm.selectMask',
    ])
  })

  test('a mask is found where it is chosen, made and read, by a question too', async () => {
    for (const query of ['mask', 'how to choose a mask'])
      expect(await found(query)).toEqual(
        expect.arrayContaining([
          'Use the library in a program.A mask, read and given back',
          'shadowllm.makeMask',
          'shadowllm.selectMask',
        ]),
      )
    expect((await found('mask')).slice(0, 2)).toEqual(['mask', 'shadowllm.ShadowModel.mask'])
    expect((await found('the')).length).toBeGreaterThan(0)
    // Each result says what it is, in one line.
    await found('mask')
    const lines = await searching.locator('#tsd-search-results li').evaluateAll((all) =>
      all.map((one) => {
        const line = one.querySelector<HTMLElement>('.line')
        return `${line?.innerText} ${line?.getClientRects().length}`
      }),
    )
    expect(lines.filter((line) => !/^\S.{10,} 1$/.test(line))).toEqual([])
  })

  test('the start page explains its words before the tasks, and the search leads to each', async () => {
    const headings = await searching.locator('.tsd-typography h2').allInnerTexts()
    expect(headings.map((text) => text.trim()).slice(0, 2)).toEqual(['Words', 'Tasks'])
    const words = await searching.locator('.tsd-typography ul').first().locator('strong').allInnerTexts()
    expect(words).toEqual(
      expect.arrayContaining([
        'unit',
        'mask',
        'budget',
        'planner',
        'criterion',
        'calibration',
        'scope',
        'KL',
      ]),
    )
    const places: string[] = []
    for (const word of words) {
      expect((await found(word))[0], word).toBe(word)
      const address = await searching.locator('#tsd-search-results a').first().getAttribute('href')
      places.push(address?.replace(/^.*index\.html/, '') ?? '')
    }
    expect(places).toEqual(words.map((word) => `#${word.toLowerCase()}`))
    for (const place of places) expect(await searching.locator(`li${place}`).count(), place).toBe(1)
  })

  test.each([
    ['browser', 'Use it in a web page'],
    ['quantize', 'Save memory, or use more threads'],
    ['memory', 'Save memory, or use more threads'],
    ['threads', 'Save memory, or use more threads'],
    ['benchmark', 'Measure speed'],
    ['own model', 'Use your own model'],
    ['exit code', 'Handle an error'],
    ['plainact', 'criterion'],
    ['gpu', 'Use a GPU'],
  ])('a newcomer who looks for %s finds the task', async (query, task) =>
    expect((await found(query)).slice(0, 5)).toContain(task),
  )

  /** The addresses that the search lists. */
  async function addresses(query: string): Promise<string[]> {
    await found(query)
    return searching
      .locator('#tsd-search-results a')
      .evaluateAll((all) => all.map((one) => one.getAttribute('href') ?? ''))
  }

  test('what newcomers type leads to its page', async () => {
    const missed: string[] = []
    for (const [query, address] of queries) {
      const first = (await addresses(query)).slice(0, 3)
      if (!first.some((one) => one.endsWith(address))) missed.push(`${query}: ${first.join(' ')}`)
    }
    expect(missed).toEqual([])
  })

  test('a word of others leads to the title that it stands for', async () => {
    const missed: string[] = []
    for (const [title, phrases] of Object.entries(synonyms))
      for (const phrase of phrases) {
        const names = (await found(phrase)).slice(0, 3)
        if (!names.some((name) => name.endsWith(title))) missed.push(`${phrase}: ${names.join('; ')}`)
      }
    expect(missed).toEqual([])
  })

  test('a vague query is not filled with how the project is kept', async () => {
    for (const query of [
      'cli',
      'training',
      'masks',
      'tokens',
      'tok',
      'limits',
      'what can it do',
      'is it safe to use a file',
    ])
      for (const address of (await addresses(query)).slice(0, 2))
        expect(address, query).not.toMatch(/README\.(?:spec|SECURITY|CONTRIBUTING|parity)/)
  })

  test.each([
    ['least-squares', 'Make up for skipped units'],
    ['--compensate least-squares', '--compensate'],
    ['--head-sparsity', '--head-sparsity'],
    ['--head_sparsity', '--head-sparsity'],
    ['head-sparsity', '--head-sparsity'],
    ['--planner', '--planner'],
    ['-m', '-m, --model'],
    ['planner: shadow', 'planner'],
    ['griffin-static', 'Planners: what decides which units are skipped'],
    ['ShadowModel.generate()', 'shadowllm.ShadowModel.generate'],
    ['+mask ^ ~', 'mask'],
    ['sparisty', 'sparsity'],
    ['compenstate', 'Make up for skipped units'],
    ['least-sqaures', 'Make up for skipped units'],
    ['generatte', 'shadowllm.ShadowModel.generate'],
  ])('signs and a wrong letter do not hide what is looked for by %s', async (query, first) =>
    expect((await found(query)).slice(0, 3)).toContain(first),
  )

  test('a query without words finds nothing, and the next one is answered', async () => {
    const faults: string[] = []
    searching.on('pageerror', ({ message }) => faults.push(message))
    for (const query of ['--', ':', '* ^', '-', 'qqqqqqqq']) {
      await found('mask')
      await searching.locator('#tsd-search-input').fill(query)
      await searching.locator('#tsd-search-status', { hasText: query }).waitFor()
      expect(await searching.locator('#tsd-search-results li').count(), query).toBe(0)
    }
    await searching.locator('#tsd-search-input').fill(' ')
    await searching.locator('#tsd-search-status:empty').waitFor({ state: 'attached' })
    expect((await found('mask'))[0]).toBe('mask')
    expect(faults).toEqual([])
  })

  test('a flag leads to where its page explains it', async () => {
    await found('--head-sparsity')
    expect(await searching.locator('#tsd-search-results .line').first().innerText()).toMatch(
      /^generate, chat,.*: share of heads to skip; 0 for neurons alone/,
    )
    const address = await searching.locator('#tsd-search-results a').first().getAttribute('href')
    expect(address).toMatch(/documents\/flags\.html#flag-head-sparsity$/)
    // Each meaning, with the commands that it is of; a command in the query chooses.
    const meanings = async (query: string): Promise<string[]> => {
      await found(query)
      return searching.locator('#tsd-search-results .line').allInnerTexts()
    }
    expect(
      (await meanings('--threads')).filter((line) => /^[\w, ]+: threads/.test(line)).length,
    ).toBeGreaterThan(1)
    expect((await meanings('generate --threads'))[0]).toMatch(/^[\w, ]*generate[\w, ]*: the most threads/)
    for (const [command, flag] of [
      ['perplexity', '--storage'],
      ['bench', '--threads'],
      ['cost', '--sparsity'],
    ])
      expect((await meanings(`${command} ${flag}`))[0]).toMatch(
        new RegExp(`^[\\w, ]*\\b${command}\\b[\\w, ]*:`),
      )
    const page = await site.browser.newPage()
    try {
      await page.goto(`${site.url}reference/documents/flags.html#flag-head-sparsity`)
      expect(await page.locator(':target').innerText()).toMatch(/^--head-sparsity <share>: share of heads/)
      expect(await page.locator('.site-menu a', { hasText: 'Command line' }).count()).toBe(1)
    } finally {
      await page.close()
    }
  })

  test('a flag that a command shares is a link to its meaning there, and commands of that page are closed', async () => {
    const page = await site.browser.newPage()
    try {
      await page.goto(`${site.url}reference/documents/flags.html`)
      const shared = page.locator('p:has-text("Explained above:") + ul code')
      expect(await shared.count()).toBeGreaterThan(100)
      expect(await page.locator('p:has-text("Explained above:") + ul code:not(a code)').count()).toBe(0)
      const broken = await page.locator('p:has-text("Explained above:") + ul a').evaluateAll((all) =>
        all.flatMap((one) => {
          const href = one.getAttribute('href') ?? ''
          return document.getElementById(href.slice(1)) === null ? [href] : []
        }),
      )
      expect(broken).toEqual([])
      // Of the meanings that of this command.
      const link = page.locator('#shadowllm-eval ~ ul a', { hasText: /^--sparsity$/ }).first()
      const target = page.locator(`li[id="${(await link.getAttribute('href'))?.slice(1)}"]`)
      expect(await target.innerText()).toMatch(/^--sparsity .* Of perplexity, eval\.$/)
      expect(await page.locator('.tsd-page-navigation a', { hasText: 'shadowllm eval' }).isVisible()).toBe(
        false,
      )
      await page.locator('.tsd-page-navigation summary', { hasText: 'Commands' }).click()
      expect(await page.locator('.tsd-page-navigation a', { hasText: 'shadowllm eval' }).isVisible()).toBe(
        true,
      )
    } finally {
      await page.close()
    }
  })

  test('a result says nothing of how a block of code is marked, and begins a name as it is written', () => {
    const { rows } = searchData(site.folder)
    const lines = rows.map(({ line }) => line ?? '')
    expect(lines.filter((line) => /^`|```|^(?:[Ss]h|[Tt]s|json|console)\b|^text [a-z]/.test(line))).toEqual(
      [],
    )
    expect(
      lines.filter((line) => /^(?:ShadowModel`|SelectMask|Fp32|Npm |Npx |Shadowllm )/.test(line)),
    ).toEqual([])
    const lineOf = (name: string): string | undefined => rows.find((row) => row.name === name)?.line
    expect(lineOf('Choose a mask')).toMatch(/^selectMask keeps/)
    expect(lineOf('Use your own model')).toMatch(/^A folder/)
  })

  test('the start page lists tasks, each leads to the page with its call, and the search finds them first', async () => {
    const list = searching.locator('.tsd-typography ul').nth(1)
    const links = await list
      .locator('li')
      .evaluateAll((items) => items.map((item) => item.querySelector('a')?.href ?? ''))
    const titles = await list.locator('li > a:first-child').allInnerTexts()
    expect(titles).toEqual([
      'Install it',
      'Use your own model',
      'Choose a mask',
      'Open a GGUF file',
      'Stream a text',
      'Stop a text',
      'Use it in a web page',
      'Choose a planner',
      'Skip heads',
      'Make up for skipped units',
      'Write your own planner',
      'Write your own criterion',
      'Write your own backend',
      'Write your own sampler',
      'Train a predictor',
      'Measure speed',
      'Measure perplexity',
      'Compare planners',
      'Measure accuracy on tasks',
      'Save memory, or use more threads',
      'Use a GPU',
      'Handle an error',
    ])
    // The names beside them are links too, but for options.
    const bare = await list.locator('code:not(a code)').allInnerTexts()
    expect(bare.filter((name) => !name.startsWith('--'))).toEqual([
      'signal',
      'shadowllm/worker',
      'obs',
      'planner',
    ])
    const places = await searching.evaluate((all) => {
      const read = async (link: string): Promise<[link: string, hasPlace: boolean, hasExample: boolean]> => {
        const page = new DOMParser().parseFromString(await (await fetch(link)).text(), 'text/html')
        const { hash } = new URL(link)
        const isGuide = /\/documents\/|\/index\.html/.test(link)
        const headings = [...page.querySelectorAll('h4')]
        return [
          link,
          hash === '' || page.querySelectorAll(hash).length === 1,
          isGuide
            ? page.querySelector('pre') !== null
            : headings.some(({ textContent }) => textContent.includes('Example')),
        ]
      }
      return Promise.all(all.map(read))
    }, links)
    expect(places).toEqual(links.map((link) => [link, true, true]))
    // So does the page of a number.
    const ofModel = readFileSync(join(site.folder, 'reference/classes/library.ShadowModel.html'), 'utf8')
    const perplexity = ofModel.split('id="perplexity"')[1].split('</section>')[0]
    expect(perplexity).toMatch(/<h4[^>]*>Example/)
    expect(perplexity).toContain('textPerplexity')
    for (const [query, task] of [
      ['choose a mask', 'Choose a mask'],
      ['open a GGUF file', 'Open a GGUF file'],
      ['streaming', 'Stream a text'],
      ['choose a planner', 'Choose a planner'],
      ['write a planner', 'Write your own planner'],
      ['own sampler', 'Write your own sampler'],
      ['measure speed', 'Measure speed'],
      ['measure perplexity', 'Measure perplexity'],
      ['train a predictor', 'Train a predictor'],
      ['compare planners', 'Compare planners'],
    ])
      expect((await found(query)).slice(0, 3), query).toContain(task)
    for (const thing of ['planner', 'criterion', 'backend', 'sampler'])
      for (const query of [`own ${thing}`, `write your own ${thing}`])
        expect((await found(query))[0], query).toBe(`Write your own ${thing}`)
  })

  test('options of a function have a page, and a type that lists its values has them', async () => {
    for (const name of ['CompareOptions', 'RunOptions', 'TaskProgress'])
      expect((await found(name))[0]).toBe(`shadowllm/eval.${name}`)
    const page = await site.browser.newPage()
    try {
      await page.goto(`${site.url}reference/types/library_eval.ExperimentSize.html`)
      const signature = await page.locator('.tsd-signature').first().innerText()
      expect(signature.replaceAll(/\s+/g, ' ')).toContain('"quick" | "usual" | "full"')
    } finally {
      await page.close()
    }
  })

  test('a section that is found is there', async () => {
    const page = await site.browser.newPage()
    try {
      await page.goto(`${site.url}reference/index.html`)
      await page.keyboard.press('/')
      await page.locator('#tsd-search-input').fill('Quantised weights')
      await page.locator('#tsd-search-results a', { hasText: 'Quantised weights' }).first().waitFor()
      // Without a choice the first result is meant.
      await page.keyboard.press('Enter')
      await page.waitForURL(/documents\/gguf\.html#/)
      expect(await page.locator(':target').innerText()).toContain('Quantised weights')
    } finally {
      await page.close()
    }
  })

  test('the home page tells how to install the package, by an address of its own that has it', async () => {
    const page = await site.browser.newPage()
    try {
      await page.goto(site.url)
      const [, address] = /^npm i (\S+)$/m.exec(await page.locator('pre').innerText()) ?? []
      expect(address).toMatch(new RegExp(`^${site.url}[a-z]+-[\\d.]+tgz$`))
      const { byteLength } = await (await fetch(address)).arrayBuffer()
      expect(byteLength).toBe(statSync(join(site.folder, basename(address))).size)
    } finally {
      await page.close()
    }
  })

  test('the first screen of the home page says what it is and what came of it, beside its picture', async () => {
    for (const [width, height, picture] of [
      [1280, 900, 'towers'],
      [390, 844, 'rows'],
    ] as const) {
      const page = await site.browser.newPage({ viewport: { width, height } })
      try {
        await page.goto(site.url)
        expect(await page.locator('header p').last().innerText()).toMatch(
          /[\d.]+ times as fast .* with the best of .* are [\d.]+ nats .* from [\d.]+ to [\d.]+\)/,
        )
        const image = page.locator('header img')
        const box = await image.boundingBox()
        expect((box?.y ?? NaN) + (box?.height ?? NaN)).toBeLessThan(height)
        // Its space is kept before it is there.
        const [source, ratio] = await image.evaluate((one: HTMLImageElement) => [
          one.currentSrc,
          one.naturalWidth / one.naturalHeight,
        ])
        expect(source).toContain(`/${picture}-`)
        expect((box?.width ?? NaN) / (box?.height ?? NaN)).toBeCloseTo(Number(ratio), 1)
        // The picture fills its frame: near its lower edge there is more than one colour.
        const colours = await image.evaluate((one: HTMLImageElement) => {
          const canvas = new OffscreenCanvas(one.naturalWidth, 24)
          const context = canvas.getContext('2d')
          context?.drawImage(one, 0, 60 - one.naturalHeight)
          const { data } = context?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: [] }
          return new Set(Array.from(data, (value) => value >> 5)).size
        })
        expect(colours, picture).toBeGreaterThan(2)
      } finally {
        await page.close()
      }
    }
  })

  test('the home page says what its words and its ± mean, in which numbers, and what a smaller format costs', async () => {
    const page = await site.browser.newPage()
    try {
      await page.goto(site.url)
      const words = (await page.locator('.result').innerText()).replaceAll(/\s+/g, ' ')
      expect(words).toContain('± is one standard error')
      expect(words).toContain('four-bit file, computed in float32')
      expect(words).toMatch(
        /eight bits in place of sixteen are [\d.]+ times as fast at [\d.]+ nats per token; skipping .* what the table says, [\d.]+ nats per token at best/,
      )
      expect(words).not.toContain('learnt through the mask')
      await page.locator('.result a', { hasText: 'planners of the command line' }).click()
      await page.waitForURL(/planners\.html/)
      for (const name of ['static', 'griffin', 'griffin-static', 'glass', 'shadow'])
        expect(await page.locator('td:first-child', { hasText: new RegExp(`^${name}$`) }).count(), name).toBe(
          1,
        )
    } finally {
      await page.close()
    }
  })

  test('the current page is seen in the list of pages, whole', async () => {
    const page = await site.browser.newPage({ viewport: { width: 1440, height: 900 } })
    try {
      await page.goto(`${site.url}reference/classes/library.ShadowModel.html`)
      const current = page.locator('.site-menu .current')
      await current.waitFor()
      const list = await page.locator('.site-menu').boundingBox()
      const middle = list && list.y + list.height / 2
      await expect.poll(async () => (await current.boundingBox())?.y).toBeCloseTo(middle ?? NaN, -2)
    } finally {
      await page.close()
    }
  })

  test('the list of pages reaches the end of the window, and cuts no name of a module', async () => {
    for (const width of [1000, 1280]) {
      const page = await site.browser.newPage({ viewport: { width, height: 900 } })
      try {
        await page.goto(`${site.url}reference/documents/use.html`)
        await page.locator('.site-menu a', { hasText: 'safetensors' }).first().waitFor({ state: 'attached' })
        const list = width < 1200 ? '.col-sidebar' : '.site-menu'
        const box = await page.locator(list).boundingBox()
        expect((box?.y ?? NaN) + (box?.height ?? NaN)).toBeGreaterThan(895)
        const isCut = await page.locator(list).evaluate((one) => one.scrollWidth > one.clientWidth)
        expect(isCut).toBe(false)
      } finally {
        await page.close()
      }
    }
  })

  /** How many lines the boxes of an element have. */
  const linesOf = (page: Page, selector: string): Promise<number[]> =>
    page.locator(selector).evaluateAll((all) => all.map((one) => one.getClientRects().length))

  test('no page is wider than a phone', async () => {
    const page = await site.browser.newPage({ viewport: { width: 375, height: 667 } })
    try {
      await page.goto(`${site.url}reference/index.html`)
      const folder = join(site.folder, 'reference')
      const pages = readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.html'))
        .map((file) => [file, readFileSync(join(folder, file), 'utf8')])
      expect(pages.length).toBeGreaterThan(500)
      // One page takes the contents of all: loading each takes minutes.
      const wide = await page.evaluate((all) => {
        const found: string[] = []
        for (const [file, html] of all) {
          document.body.innerHTML = new DOMParser().parseFromString(html, 'text/html').body.innerHTML
          const { scrollWidth } = document.documentElement
          if (scrollWidth > innerWidth) found.push(`${file}: ${scrollWidth}`)
        }
        return found
      }, pages)
      expect(wide).toEqual([])
    } finally {
      await page.close()
    }
  })

  test('formulas of documents are set, and a long line of code goes on further in', async () => {
    const page = await site.browser.newPage({ viewport: { width: 375, height: 667 } })
    try {
      await page.goto(`${site.url}reference/documents/smaller.html`)
      const formulas = await page
        .locator('math')
        .evaluateAll((all) => all.map((one) => one.getAttribute('alttext')))
      expect(formulas).toContain('B = C_SK (C_KK + λ mean(diag C) I)⁻¹')
      expect(await page.locator('var').count()).toBe(0)
      const starts = await page.locator('.code-line', { hasText: '--all-layers' }).evaluate((line) => {
        const range = document.createRange()
        range.selectNodeContents(line)
        const [first, ...others] = range.getClientRects()
        const below = others.filter(({ top }) => top > first.bottom - 1)
        return [first.left, Math.min(...below.map(({ left }) => left))]
      })
      expect(starts[1]).toBeGreaterThan(starts[0] + 10)
      // An empty line is one, also when it is copied.
      expect(await page.locator('pre code').first().innerText()).toMatch(/--quiet\n\n# The neurons/)
    } finally {
      await page.close()
    }
  })

  test('an output keeps its columns, and a cell that is a number is no wider than it', async () => {
    const page = await site.browser.newPage({ viewport: { width: 375, height: 667 } })
    try {
      await page.goto(`${site.url}reference/documents/planners.html`)
      const output = page.locator('pre.columns', { hasText: 'griffin' }).first()
      const [rows, lines] = await output.locator('code').evaluate((code) => {
        const range = document.createRange()
        range.selectNodeContents(code)
        const tops = new Set(Array.from(range.getClientRects(), ({ top }) => Math.round(top)))
        return [tops.size, (code.textContent ?? '').split('\n').filter(Boolean).length]
      })
      expect(rows).toBe(lines)
      await page.goto(`${site.url}reference/documents/evidence.compensation.html`)
      const widths = await page
        .locator('td.number')
        .evaluateAll((cells) => cells.map((cell) => cell.getBoundingClientRect().width))
      expect(widths.length).toBeGreaterThan(100)
      expect(Math.max(...widths)).toBeLessThan(150)
    } finally {
      await page.close()
    }
  })

  test('without a script the list of pages is there; a key skips to the text', async () => {
    const context = await site.browser.newContext({ javaScriptEnabled: false })
    try {
      const page = await context.newPage()
      await page.goto(`${site.url}reference/documents/use.html`)
      const links = page.locator('#tsd-nav-container a')
      expect(await links.allInnerTexts()).toEqual(expect.arrayContaining(['Overview', 'shadowllm/ops']))
      await links.filter({ hasText: 'shadowllm/ops' }).click()
      expect(page.url()).toMatch(/modules\/ops\.html$/)
      await page.keyboard.press('Tab')
      await page.keyboard.press('Enter')
      expect(page.url()).toMatch(/#content$/)
    } finally {
      await context.close()
    }
  })

  test('on a phone the names of rows stay while a table is scrolled', async () => {
    const page = await site.browser.newPage({ viewport: { width: 390, height: 844 } })
    try {
      await page.goto(`${site.url}reference/documents/planners.html`)
      const table = page.locator('.tsd-typography table', { hasText: 'what it does' })
      const left = async (): Promise<number | undefined> =>
        (await table.locator('tbody td').first().boundingBox())?.x
      const before = await left()
      await table.evaluate((one) => one.scrollTo(1000, 0))
      expect(await table.evaluate((one) => one.scrollLeft)).toBeGreaterThan(0)
      expect(Math.abs(((await left()) ?? NaN) - (before ?? NaN))).toBeLessThan(1)
      // Rows without colour, so that the shadow at the edge is seen whole.
      const colours = await table
        .locator('tr')
        .evaluateAll((all) => all.map((one) => getComputedStyle(one).backgroundColor))
      expect(new Set(colours).size).toBe(1)
    } finally {
      await page.close()
    }
  })

  test('the menu of a phone shows this page, the list of pages and settings at once, and a button closes it', async () => {
    const page = await site.browser.newPage({ viewport: { width: 390, height: 844 } })
    try {
      await page.goto(`${site.url}reference/classes/library.ShadowModel.html`)
      await page.locator('.site-menu .current').waitFor({ state: 'attached' })
      await page.locator('#tsd-toolbar-menu-trigger').click()
      const top = async (part: string): Promise<number> => (await page.locator(part).boundingBox())?.y ?? NaN
      expect(await top('.settings')).toBeGreaterThan(await top('.site-menu'))
      // All three are seen at once, and a button closes them.
      await expect
        .poll(() => page.locator('.col-sidebar').evaluate((one) => one.getAnimations().length))
        .toBe(0)
      expect(await top('.tsd-page-navigation')).toBeGreaterThanOrEqual(0)
      expect(await top('.settings')).toBeLessThan(844)
      // The current page is in the middle of the list.
      const list = await page.locator('.site-menu').boundingBox()
      const current = await page.locator('.site-menu .current').boundingBox()
      expect(current?.y).toBeGreaterThan(list?.y ?? NaN)
      expect(current?.y).toBeLessThan((list?.y ?? NaN) + (list?.height ?? NaN))
      await page.locator('.close-menu').click()
      await expect.poll(() => page.locator('.col-sidebar').isVisible()).toBe(false)
    } finally {
      await page.close()
    }
  })

  test('the header names the project, the list of pages begins with the overview, and no path ends in a slash', async () => {
    expect(await searching.locator('.tsd-page-toolbar .title').innerText()).toContain('shadowllm')
    const page = await site.browser.newPage()
    try {
      await page.goto(`${site.url}reference/classes/library.ShadowModel.html`)
      const first = page.locator('#tsd-nav-container > li').first()
      await first.waitFor()
      expect(await first.innerText()).toBe('Overview')
      // Pages about the project are a group behind the guides, and of a module the names of one kind are open.
      const groups = page.locator('#tsd-nav-container > li > details > summary')
      const titles = await groups.allInnerTexts()
      expect(titles.indexOf('About the project')).toBe(titles.indexOf('shadowllm') - 1)
      expect(await page.locator('#tsd-nav-container a:visible', { hasText: 'Security' }).count()).toBe(0)
      const names = page.locator('#tsd-nav-container details[open] a[href*="/library."]:visible')
      expect(await names.count()).toBeGreaterThan(1)
      expect(await names.count()).toBeLessThan(20)
      const end = await page
        .locator('.tsd-breadcrumb li')
        .last()
        .evaluate((one) => getComputedStyle(one, '::after').content)
      expect(end).toBe('none')
    } finally {
      await page.close()
    }
  })

  test('a default that has a name is shown with its number', async () => {
    const page = await site.browser.newPage()
    try {
      await page.goto(`${site.url}reference/interfaces/library_eval.Method.html`)
      expect(await page.locator('body').innerText()).toContain('default DEFAULT_RIDGE (0.01).')
    } finally {
      await page.close()
    }
  })

  test('on a phone its head has two lines, no flag is broken, and no line is cut', async () => {
    const page = await site.browser.newPage({ viewport: { width: 375, height: 667 } })
    try {
      for (const name of ['index', 'documents/commands', 'documents/use', 'functions/library.selectMask']) {
        await page.goto(`${site.url}reference/${name}.html`)
        expect((await page.locator('.tsd-page-toolbar').boundingBox())?.height).toBeLessThan(64)
        expect((await linesOf(page, '.flag')).filter((lines) => lines > 1)).toEqual([])
        // Those of commands in blocks too.
        const inBlocks = await page.locator('pre .flag').count()
        if (name === 'documents/use') expect(inBlocks).toBeGreaterThan(20)
      }
      // What a link leads to is below the head; a family of codes keeps its star.
      await page.goto(`${site.url}reference/classes/library.ShadowModel.html#generate`)
      const head = await page.locator('.tsd-page-toolbar').boundingBox()
      await expect.poll(async () => (await page.locator('#generate').boundingBox())?.y).toBeLessThan(200)
      expect((await page.locator('#generate').boundingBox())?.y).toBeGreaterThan(head?.height ?? NaN)
      await page.goto(`${site.url}reference/functions/io_safetensors.openSafetensors.html`)
      expect(await page.locator('code', { hasText: 'SAFETENSORS_*' }).count()).toBe(1)
    } finally {
      await page.close()
    }
  })
})
