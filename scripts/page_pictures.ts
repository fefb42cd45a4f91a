/**
 * Takes the pictures of the live page that the home page, README.md and the guides show: its two texts and its network, in docs/pictures:
 * as wide as a desk's screen and as a phone's, light and dark. `npm run build:site` goes before.
 *
 *   npm run build:pictures
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { startChromium } from '../spec/web/chromium.ts'
import { serveFolder } from '../spec/web/static_server.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const folder = `${root}docs/pictures`

/** Pixels of the page around what is shown. */
const MARGIN = 14
/** Of WebP: letters are sharp from here on. */
const QUALITY = 0.75

/** What is shown, by the width of a screen: from the texts to the end of an element. */
const sizes = { wide: { width: 1100, last: '#picture .how' }, narrow: { width: 390, last: '#achieved' } }

mkdirSync(folder, { recursive: true })
const server = await serveFolder(`${root}docs/site`, true)
const browser = await startChromium()
try {
  for (const [name, { width, last }] of Object.entries(sizes))
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await openPage(browser, {
        colorScheme,
        viewport: { width, height: 900 },
        deviceScaleFactor: 2,
      })
      const clip = await areaOf(page, last)
      const png = await page.screenshot({ fullPage: true, clip, animations: 'disabled' })
      writeFileSync(`${folder}/${name}-${colorScheme}.webp`, await toWebp(page, png))
      await page.close()
    }
} finally {
  await browser.close()
  await server.close()
}

/** The live page when both texts are written and compared. */
async function openPage(browser: Browser, options: BrowserContextOptions): Promise<Page> {
  const page = await browser.newPage(options)
  await page.goto(`${server.url}live/`)
  await page.waitForFunction(() => /KL/.test(document.querySelector('#distance')?.textContent ?? ''))
  await page.waitForFunction(() => /\d/.test(document.querySelector('#achieved')?.textContent ?? ''))
  return page
}

/** From the texts to the end of an element, with all that is beside them. */
function areaOf(
  page: Page,
  last: string,
): Promise<{ x: number; y: number; width: number; height: number }> {
  return page.evaluate(
    ([selector, margin]) => {
      const boxOf = (of: string): DOMRect => {
        const element = document.querySelector(of)
        if (element === null) throw new Error(`expected ${of}, got none`)
        return element.getBoundingClientRect()
      }
      const top = boxOf('#texts').top + scrollY - margin
      const ends = [boxOf(selector), ...(innerWidth > 600 ? [boxOf('#inspector')] : [])]
      const bottom = Math.max(...ends.map((box) => box.bottom)) + scrollY + margin
      return { x: 0, y: top, width: document.documentElement.clientWidth, height: bottom - top }
    },
    [last, MARGIN] as const,
  )
}

/** A picture in fewer bytes, by the browser. */
async function toWebp(page: Page, png: Buffer): Promise<Buffer> {
  const text = await page.evaluate(
    async ([data, quality]) => {
      const image = new Image()
      image.src = `data:image/png;base64,${data}`
      await image.decode()
      const canvas = document.createElement('canvas')
      canvas.width = image.width
      canvas.height = image.height
      canvas.getContext('2d')?.drawImage(image, 0, 0)
      return canvas.toDataURL('image/webp', quality)
    },
    [png.toString('base64'), QUALITY] as const,
  )
  return Buffer.from(text.slice(text.indexOf(',') + 1), 'base64')
}
