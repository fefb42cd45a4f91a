/**
 * Takes the pictures of the live page, in docs/pictures, light and dark: `wide` for README.md and the guides, its two texts and its
 * network; `towers` and `rows` for the home page, its network alone, as a desk and a phone show it. `npm run build:site` goes before.
 *
 *   npm run build:pictures
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { BrowserContextOptions, Page, PageScreenshotOptions } from 'playwright-core'
import { startChromium } from '../spec/web/chromium.ts'
import { serveFolder } from '../spec/web/static_server.ts'

type Clip = Required<PageScreenshotOptions>['clip']

const root = fileURLToPath(new URL('../', import.meta.url))
const folder = `${root}docs/pictures`

/** Pixels of the page around what is shown. */
const MARGIN = 14
/** Of WebP: letters are sharp from here on. */
const QUALITY = 0.6

/** What is shown, by the width of a screen: from an element to the ends of others; and how high the network is, where it is lower. */
const sizes = {
  wide: { width: 1100, scale: 1.5, first: '#texts', last: ['#picture .how', '#inspector'] },
  towers: { width: 612, scale: 2, first: '#layers', last: [], height: 360 },
  rows: { width: 390, scale: 2, first: '#layers', last: [], height: 300 },
}

/** The speeds are those of the machine that takes the picture. */
const SPEEDS_HIDDEN = '.speed { visibility: hidden }'

mkdirSync(folder, { recursive: true })
const server = await serveFolder(`${root}docs/site`, true)
const browser = await startChromium()
try {
  for (const [name, { width, scale, first, last, ...lower }] of Object.entries(sizes))
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await openPage(last, {
        colorScheme,
        viewport: { width, height: 900 },
        deviceScaleFactor: scale,
        // For the style of the picture.
        bypassCSP: true,
      })
      if ('height' in lower) await page.addStyleTag({ content: `#layers { height: ${lower.height}px }` })
      const clip = await areaOf(page, first, last)
      const png = await page.screenshot({ fullPage: true, clip, style: SPEEDS_HIDDEN })
      writeFileSync(`${folder}/${name}-${colorScheme}.webp`, await toWebp(page, png, MARGIN * scale))
      await page.close()
    }
} finally {
  await browser.close()
  await server.close()
}

/** The live page when both texts are written, compared and timed, and these elements have their words. */
async function openPage(last: readonly string[], options: BrowserContextOptions): Promise<Page> {
  const page = await browser.newPage(options)
  await page.goto(`${server.url}live/`)
  for (const [selector, words] of [
    ['#dense-speed', 'tokens/s'],
    ['#distance', 'KL'],
    ['#achieved', '%'],
    ...last.map((selector) => [selector, /computed|oracle/] as const),
  ] as const)
    await page.locator(selector, { hasText: words }).waitFor({ timeout: 120_000 })
  return page
}

/** From the top of an element to its end or the lowest end of others, as wide as the page. */
async function areaOf(page: Page, first: string, last: readonly string[]): Promise<Clip> {
  const boxes = []
  for (const selector of [first, ...last]) {
    const box = await page.locator(selector).boundingBox()
    if (box === null) throw new Error(`${selector}: expected it to be seen, got nothing`)
    boxes.push(box)
  }
  const top = boxes[0].y - MARGIN
  const bottom = Math.max(...boxes.map(({ y, height }) => y + height)) + MARGIN
  return { x: 0, y: top, width: page.viewportSize()?.width ?? NaN, height: bottom - top }
}

/** A picture in fewer bytes, by the browser, without what is empty at its bottom but for a margin. */
async function toWebp(page: Page, png: Buffer, margin: number): Promise<Buffer> {
  const text = await page.evaluate(
    async ([data, quality, margin]) => {
      const image = new Image()
      image.src = `data:image/png;base64,${data}`
      await image.decode()
      const canvas = document.createElement('canvas')
      canvas.width = image.width
      canvas.height = image.height
      const context = canvas.getContext('2d')
      if (context === null) throw new Error('canvas: expected a context, got none')
      context.drawImage(image, 0, 0)
      const colours = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer)
      const last = colours.findLastIndex((colour) => colour !== colours.at(-1))
      // This empties the canvas.
      canvas.height = Math.min(image.height, Math.floor(last / image.width) + 1 + margin)
      context.drawImage(image, 0, 0)
      return canvas.toDataURL('image/webp', quality)
    },
    [png.toString('base64'), QUALITY, margin] as const,
  )
  return Buffer.from(text.slice(text.indexOf(',') + 1), 'base64')
}
