/**
 * The page of a report in a browser: no table stands out of the page's own width, however wide, and no page scrolls sideways.
 */
import { expect, test } from 'vitest'
import { renderHtml } from '../../../src/experiments/report/html.ts'
import { chromiumPath, startChromium, withoutChromium } from '../../web/chromium.ts'
import { provenance, resultOf } from './report_cases.ts'

const columns = Array.from({ length: 14 }, (_, i) => ({
  key: `${i}`,
  label: `a long heading ${i}`,
  unit: 'tokens/s',
}))
const row = Object.fromEntries(columns.map(({ key }) => [key, 12345.678]))
const wide = resultOf({ columns, rows: [row, row], paper: { columns, rows: [row], source: 'a paper' } })

test.skipIf(chromiumPath === null).each([1600, 900, 390])(
  `at %i pixels no table overhangs the page${withoutChromium}`,
  async (width) => {
    const browser = await startChromium()
    try {
      const page = await browser.newPage({ viewport: { width, height: 900 } })
      await page.setContent(await renderHtml([wide, wide], provenance))
      const { scroll, client, tables, main } = await page.evaluate(() => {
        const right = (element: Element): number => element.getBoundingClientRect().right
        const { scrollWidth: scroll, clientWidth: client } = document.documentElement
        return {
          scroll,
          client,
          tables: [...document.querySelectorAll('.tables .table')].map(right),
          main: right(document.querySelector('main') as Element),
        }
      })
      expect(tables).toHaveLength(4)
      for (const end of tables) expect(end).toBeLessThanOrEqual(main + 0.5)
      expect(scroll).toBeLessThanOrEqual(client)
    } finally {
      await browser.close()
    }
  },
)
