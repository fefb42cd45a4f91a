/**
 * The site is built by one command, and no link of its own pages is dead. Those of the reference are judged by typedoc, which
 * ends the command on any warning.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../harness/syntax.ts'
import { builtSite, cannotBuildSite } from './built_site.ts'

const why = cannotBuildSite === null ? '' : ` (skipped: ${cannotBuildSite})`

const pages = ['index.html', 'spec/index.html', 'spec/operations.html', 'live/index.html']

/** Addresses of a page that lead nowhere. @param folder of the site */
function deadLinks(page: string, html: string, folder: string): string[] {
  const addresses = Array.from(html.matchAll(/\s(?:href|src)="([^"]*)"/g), ([, address]) => address)
  return addresses.filter((address) => {
    if (/^(?:https?|data):/.test(address)) return false
    const [path, id] = address.split('#')
    const file = join(folder, dirname(page), path)
    const found = path === '' ? join(folder, page) : file.endsWith('/') ? `${file}index.html` : file
    if (!existsSync(found)) return true
    return Boolean(id) && !readFileSync(found, 'utf8').includes(`id="${id}"`)
  })
}

test.skipIf(cannotBuildSite !== null)(
  `no link of the site is dead, and the reference is written without a warning${why}`,
  { timeout: 600_000 },
  async () => {
    const folder = await builtSite()
    const read = (page: string): string => readFileSync(join(folder, page), 'utf8')
    for (const page of pages) expect([page, deadLinks(page, read(page), folder)]).toEqual([page, []])
    expect(read('live/index.html')).toContain('href="../spec/"')
    expect(existsSync(join(folder, 'reference/documents/read.html'))).toBe(true)
    // The guides, by their titles and in one order, on the home page and in the reference.
    const guides = readdirSync(join(root, 'docs/guides')).map((file) => file.replace('.md', ''))
    const listed = Array.from(read('index.html').matchAll(/reference\/documents\/([\w-]+)\.html">([^<]+)</g))
    expect(listed.map(([, name]) => name).toSorted()).toEqual(guides.toSorted())
    for (const [, name, title] of listed)
      expect(read(`reference/documents/${name}.html`)).toContain(`<title>${title} |`)
    expect(read('index.html')).toContain('src="./page.png"')
    // The reference leads home, and says of each name what it is.
    const module = read('reference/modules/criteria.html')
    expect(module).toContain(
      '<nav id="tsd-toolbar-links" aria-label="Site"><a href="../../index.html">Home</a>',
    )
    expect(module).toContain('<h1>Module shadowllm/criteria</h1>')
    const lines = Array.from(
      module.matchAll(/<dd class="tsd-member-summary">(.*?)<\/dd>/gs),
      ([, line]) => line,
    )
    expect(lines.filter((line) => !/[a-z]{3}/.test(line.replace(/<[^>]*>/g, '')))).toEqual([])
    expect(lines.length).toBeGreaterThan(10)
    const planted = '<a href="spec/none.html"></a><a href="spec/#none"></a><a href="spec/"></a>'
    expect(deadLinks('index.html', planted, folder)).toEqual(['spec/none.html', 'spec/#none'])
  },
)
