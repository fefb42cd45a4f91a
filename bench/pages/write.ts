/**
 * Writes what follows from result files: figures of pages, and a drawing.
 */
import { pathOfUrl, writeFileAtomic } from '../../src/platform/platform.ts'
import type { Frontier } from '../frontier/data.ts'
import { drawFrontier } from '../frontier/figure.ts'
import { Pages } from './pages.ts'

/** @throws InputError for what is no result, or an expression without a value */
export async function writePages(root = pathOfUrl(new URL('../../', import.meta.url))): Promise<void> {
  const pages = Pages.read(root)
  for (const [i, { path, text }] of pages.derived().entries())
    if (text !== pages.pages[i].text) await writeFileAtomic(`${root}${path}`, text)
  await writeFileAtomic(
    `${root}docs/frontier.svg`,
    await drawFrontier(pages.resultOf('frontier') as Frontier),
  )
}
