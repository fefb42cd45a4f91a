/**
 * The site is built by one command, and no link of its pages is dead, or leads to a file that a browser downloads or shows without
 * the site around it. typedoc ends the command on any warning.
 *
 * Tests scripts/site_links.ts and scripts/site_sources.ts.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { committedSums } from '../../scripts/kit/folder.ts'
import { root } from '../harness/syntax.ts'
import { builtSite, cannotBuildSite } from './built_site.ts'

const why = cannotBuildSite === null ? '' : ` (skipped: ${cannotBuildSite})`

/** What is wrong with links: the file is not there, the place in it is not, or it is no page. */
function linkFaults(folder: string): (page: string, html: string) => string[] {
  const known = new Map<string, Set<string> | null>()
  /** The ids of a file; null if it is not there. */
  const idsOf = (file: string): Set<string> | null => {
    let ids = known.get(file)
    if (ids !== undefined) return ids
    ids = existsSync(file)
      ? new Set(Array.from(readFileSync(file, 'utf8').matchAll(/\sid="([^"]*)"/g), ([, id]) => id))
      : null
    known.set(file, ids)
    return ids
  }
  return (page, html) => {
    const links = html.matchAll(/<(\w+)(?=\s)[^>]*?\s(?:href|src|srcset)="([^"]*)"[^>]*/g)
    const faults = Array.from(links, ([whole, element, address]) => {
      if (/^(?:https?|data):/.test(address)) return ''
      const [path, id] = address.replaceAll('&amp;', '&').split('#')
      const to = join(folder, dirname(page), decodeURIComponent(path))
      const file = path === '' ? join(folder, page) : to.endsWith('/') ? `${to}index.html` : to
      const ids = idsOf(file)
      if (ids === null || (id && !ids.has(decodeURIComponent(id)))) return `dead: ${address}`
      return element === 'a' && !file.endsWith('.html') && !whole.includes(' download')
        ? `no page: ${address}`
        : ''
    })
    return faults.filter((fault) => fault !== '')
  }
}

/** package.json of a packed package: the first block of tar that bears its name. */
function packedManifest(archive: string): unknown {
  const tar = gunzipSync(readFileSync(archive))
  const start = tar.indexOf('package/package.json\0')
  const size = parseInt(tar.toString('latin1', start + 124, start + 135), 8)
  return JSON.parse(tar.toString('utf8', start + 512, start + 512 + size))
}

test.skipIf(cannotBuildSite !== null)(
  `every link of the site leads to a page of it, and the reference is written without a warning${why}`,
  { timeout: 600_000 },
  async () => {
    const folder = await builtSite()
    const read = (page: string): string => readFileSync(join(folder, page), 'utf8')
    const faultsOf = linkFaults(folder)
    const pages = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.html'))
      .map((file) => file.replaceAll('\\', '/'))
    for (const first of ['spec/', 'live/', 'reference/documents/', 'source/src/spec/'])
      expect(pages.some((page) => page.startsWith(first))).toBe(true)
    expect(pages.flatMap((page) => faultsOf(page, read(page)).map((fault) => `${page}: ${fault}`))).toEqual(
      [],
    )
    // The pages have one navigation, in which each is no link to itself.
    const names = (page: string): string[] => {
      const [, nav] = /<nav [^>]*aria-label="Site"[^>]*>(.*?)<\/nav>/s.exec(read(page)) ?? []
      return Array.from((nav ?? '').matchAll(/<(a|span)[^>]*>([^<]+)</g), ([, tag, name]) =>
        tag === 'a' ? name : `(${name})`,
      )
    }
    expect(names('index.html')).toEqual([
      '(Home)',
      'Live page',
      'Annotated page',
      'Reference',
      'Sources',
      'Paper',
    ])
    const all = names('index.html').map((name) => name.replace(/[()]/g, ''))
    for (const [page, here] of [
      ['live', 'Live page'],
      ['spec', 'Annotated page'],
    ])
      expect(names(`${page}/index.html`)).toEqual(all.map((name) => (name === here ? `(${name})` : name)))
    expect(names('reference/index.html')).toEqual(all.slice(0, -1))
    // The home page says whose predictor its table has, and shows the oracle's row.
    expect(read('index.html')).toMatch(/<code>shadow<\/code>[^]*?\(not the paper’s\)/)
    expect(read('index.html')).toMatch(/<code>oracle<\/code>[^]*?<td>\d\.\d+ ± \d\.\d+<\/td>/)
    // The conformance kit is there whole, and its guide leads to it.
    expect(gunzipSync(readFileSync(join(folder, 'shadowllm-kit.tgz'))).includes(committedSums())).toBe(true)
    expect(read('reference/documents/kernels.html')).toContain('href="../../shadowllm-kit.tgz" download')
    // The guide to the algorithm leads to the annotated files, and first to what a visitor can open.
    const guide = read('reference/documents/read.html')
    for (const file of readdirSync(join(root, 'src/spec')))
      expect(guide).toContain(`href="../../spec/index.html#${file.replace('.ts', '')}"`)
    for (const name of ['read', 'page'])
      expect(read(`reference/documents/${name}.html`)).not.toMatch(/npm run (?:build|dev|serve):/)
    // A source is highlighted, and its names lead to their definitions.
    const source = read('source/src/masks/planner.ts.html')
    expect(source).toMatch(/<span class="keyword">import<\/span>.*<a href="[^"]+\.ts\.html#\w+">/)
    expect(source).toContain('<b id="MaskPlanner">MaskPlanner</b>')
    // The guides, by their titles and in one order, on the home page and in the reference.
    const guides = readdirSync(join(root, 'docs/guides')).map((file) => file.replace('.md', ''))
    const listed = Array.from(
      read('index.html').matchAll(/<li><a href="reference\/documents\/([\w-]+)\.html">([^<]+)</g),
    )
    expect(listed.map(([, name]) => name).toSorted()).toEqual(guides.toSorted())
    for (const [, name, title] of listed)
      expect(read(`reference/documents/${name}.html`)).toContain(`<title>${title} |`)
    // Each list has one to begin with.
    expect(read('index.html').match(/<ul><li><a [^>]+>[^<]+<\/a> <b>\(begin here\)<\/b>/g)).toHaveLength(4)
    expect(read('index.html').match(/\(begin here\)/g)).toHaveLength(4)
    // What was measured is one group, there and in the list of pages.
    const [, evidence] = /<h3>What was measured<\/h3><ul>(.*?)<\/ul>/s.exec(read('index.html')) ?? []
    const measured = [
      'evidence',
      ...['bench', 'compensation', 'embedded', 'grid'].map((name) => `evidence.${name}`),
      'smollm2',
    ]
    expect(
      Array.from(evidence.matchAll(/documents\/([\w.-]+)\.html/g), ([, name]) => name).toSorted(),
    ).toEqual(measured)
    // The home page has the package itself.
    const [, address] = /<a href="([^"]+\.tgz)" download>/.exec(read('index.html')) ?? []
    const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, string>
    expect(address).toBe(`./${own.name}-${own.version}.tgz`)
    expect(packedManifest(join(folder, address))).toMatchObject({ name: own.name, version: own.version })
    expect(read('index.html')).toContain(`</span>${address.slice(2)}\nnpx shadowllm generate`)
    // The reference leads home, and says of each name what it is.
    const module = read('reference/modules/criteria.html')
    expect(module).toContain('<nav id="tsd-toolbar-links" aria-label="Site"><a href="../../">Home</a>')
    expect(module).toContain('<h1>Module shadowllm/criteria</h1>')
    const lines = Array.from(
      module.matchAll(/<dd class="tsd-member-summary">(.*?)<\/dd>/gs),
      ([, line]) => line,
    )
    expect(lines.filter((line) => !/[a-z]{3}/.test(line.replace(/<[^>]*>/g, '')))).toEqual([])
    expect(lines.length).toBeGreaterThan(10)
    // A name leads to its definition, and to that of the specification.
    const selects = read('reference/functions/library.selectMask.html')
    const [, line] = /Defined in <a href="\.\.\/\.\.\/source\/src\/[^"]+#L(\d+)">src\//.exec(selects) ?? []
    expect(read('source/src/masks/selection.ts.html')).toContain(
      `<a id="L${line}" href="#L${line}" tabindex="-1" aria-label="line ${line}"></a><span class="keyword">export</span>`,
    )
    // Each of its parameters has words, and the names in them and in types are links.
    const [, parameters] = /<ul class="tsd-parameter-list">(.*?)<\/ul>/s.exec(selects) ?? []
    for (const item of parameters.split('</li>').slice(0, -1)) expect(item).toMatch(/<p>[A-Z].*\.<\/p>/)
    expect(selects).toContain('<a href="../types/masks.TopK.html"')
    for (const name of ['checkBudget', 'referenceTopK'])
      expect(selects).toMatch(new RegExp(`<a href="../../source/src/masks/\\w+.ts.html#${name}"`))
    // The list of sources says what modules and files are.
    expect(read('source/index.html')).toContain(
      '<a href="#src/io">src/io</a> <span>Untrusted files: safetensors, torch, hub, tokenizers</span>',
    )
    expect(read('source/index.html')).toContain(
      '<a href="#src/predictor">src/predictor</a> <span>Predictors of scores from a prompt, and planners that make masks from scores</span>',
    )
    const said = Array.from(
      read('source/index.html').matchAll(/<li><a href="#([^"]+)">[^<]+<\/a> <span>(.*?)<\/span>/g),
      ([, path, words]) => `${path}: ${words}`,
    )
    expect(said.filter((line) => !/: (?:[A-Z]|<code>)/.test(line))).toEqual([])
    // In the order that it states: folders by name, and the files of each.
    const order = Array.from(
      read('source/index.html').matchAll(/<section id="([^"]+)">|<li><a href="([^"#]+)\.html">/g),
      ([, folder, file]) => folder ?? file,
    )
    const folders = order.filter((path) => order.some((other) => dirname(other) === path))
    expect(folders.length).toBeGreaterThan(20)
    expect(folders).toEqual(folders.toSorted())
    for (const folder of folders) {
      const files = order.filter((path) => dirname(path) === folder && !folders.includes(path))
      expect(files).toEqual(files.toSorted())
    }
    expect(source).toContain(
      '<h1><a href="../../../source/index.html#src/masks">src/masks</a>/planner.ts</h1>',
    )
    expect(read('index.html')).toContain('href="source/"')
    expect(read('source/index.html')).toContain(
      '<a href="src/masks/selection.ts.html">selection.ts</a> <span>Selects a mask from scores</span>',
    )
    expect(selects).toContain('href="../../spec/index.html#select.selectMask"')
    const trains = read('reference/functions/training.trainPredictor.html')
    expect(trains).toContain('href="../../spec/index.html#shadowllm.train"')
    // It leads to the guide and to the examples that use it.
    const gives = read('reference/functions/library.givenMask.html')
    expect(gives).toContain('<a href="../../reference/documents/library.html#a-mask-read-and-given-back">')
    expect(read('reference/types/library.MaskPlanner.html')).toMatch(
      /Shown In.*<a href="\.\.\/\.\.\/source\/examples\/own_planner\.ts\.html/s,
    )
    expect(gives).toMatch(/The example of <a href="library\.makeMask\.html"/)
    expect(read('reference/types/library.GenerateEnd.html').match(/wrote a token that ends/g)).toHaveLength(1)
    // A type says what its values mean; one made from another has those that are left.
    expect(read('reference/types/library.Scope.html')).toContain(
      "<code>'per-layer'</code>: The units of one layer compete",
    )
    const generating = read('reference/types/library.GenerationPlanner.html')
    expect(generating).toContain("<code>'griffin'</code>: Keeps the neurons")
    expect(generating).not.toContain("<code>'oracle'</code>")
    // And back: from the specification to the reference, and to the source.
    const specification = read('spec/index.html')
    expect(specification).toContain('href="../reference/functions/library.selectMask.html"')
    expect(specification).toContain('<a href="../source/src/spec/select.ts.html">src/spec/select.ts</a>')
    const planted =
      '<a href="spec/none.html"></a><a href="spec/#none"></a><a href="spec/"></a><a href="wide-light.webp"></a><img src="wide-light.webp">'
    expect(faultsOf('index.html', planted)).toEqual([
      'dead: spec/none.html',
      'dead: spec/#none',
      'no page: wide-light.webp',
    ])
  },
)
