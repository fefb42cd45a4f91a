/**
 * On the site a link of a document leads to a page: nothing is left that a browser would download, and what only a checkout has is
 * not told there.
 *
 * Tests scripts/site_links.ts.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  declares,
  exportedNames,
  lineAddress,
  linkedDocuments,
  linkedSources,
  nameAddress,
  numberOfName,
  siteText,
  specificationAddresses,
  wordsOfName,
} from '../../scripts/site_links.ts'
import { root } from '../harness/syntax.ts'

const guides = readdirSync(join(root, 'docs/guides')).map((file) => `docs/guides/${file}`)
const documents = linkedDocuments(guides)

test('every link of the documents is to a document, a picture or a page of the site', () => {
  expect(documents).toEqual(expect.arrayContaining([...guides, 'README.md', 'spec/README.md']))
  for (const document of documents) {
    const text = siteText(document, readFileSync(join(root, document), 'utf8'))
    expect(text).not.toContain('<!-- checkout -->')
    const links = Array.from(text.matchAll(/\]\(((?:\.\.\/|site:|\w+\/)[^)\s]*)\)/g), ([, to]) => to)
    expect([document, links.filter((to) => !/\.md(#|$)|\.(svg|webp)$|^site:/.test(to))]).toEqual([
      document,
      [],
    ])
  }
})

test('a file of the specification is its chapter, a page file its page, another file or folder a page of sources', () => {
  const text =
    '[a](../../src/spec/opt.ts) [b](../../src/web/index.html) [c](../../src/masks/mask.ts) [d](../../examples) [e](use.md#f) [g](none.ts)'
  expect(siteText('docs/guides/read.md', text)).toBe(
    '[a](site:spec/index.html#opt) [b](site:live/index.html) [c](site:source/src/masks/mask.ts.html) [d](site:source/index.html#examples) [e](use.md#f) [g](none.ts)',
  )
  const sources = linkedSources(documents)
  expect(sources).toEqual(expect.arrayContaining(['examples', 'cuda/example/sparse_ffn.cpp']))
  expect(sources.filter((path) => path.endsWith('.md') || path.startsWith('src/spec/'))).toEqual([])
})

test('a line leads to itself in the sources, and in the specification to the name whose definition holds it', () => {
  const lineOf = (path: string, part: string): number =>
    readFileSync(join(root, path), 'utf8').split(part)[0].split('\n').length
  const planner = 'src/masks/planner.ts'
  expect(lineAddress(planner, 12)).toBe(`site:source/${planner}.html#L12`)
  const select = 'src/spec/select.ts'
  const at = lineOf(select, 'function selectMask')
  expect(lineAddress(select, at)).toBe('site:spec/index.html#select.selectMask')
  expect(lineAddress(select, 1)).toBe('site:spec/index.html#select')
  expect(specificationAddresses().get('selectMask')).toBe('site:spec/index.html#select.selectMask')
  expect(specificationAddresses().has('keepBest')).toBe(false)
})

test('a name leads to its definition, and has the words of its comment without tags', () => {
  expect(nameAddress('src/masks/budget.ts', 'checkBudget')).toBe(
    'site:source/src/masks/budget.ts.html#checkBudget',
  )
  expect(declares('src/masks/selection.ts', 'TopK')).toBe(true)
  expect(declares('src/masks/selection.ts', 'K')).toBe(false)
  expect(exportedNames('src/masks').get('checkBudget')).toEqual(['src/masks/budget.ts'])
  expect(wordsOfName('src/masks/selection.ts', 'TopK')).toBe(
    'What ranks the scores; where it is left out, the reference. It gives the indices of the `count` highest scores, ascending.',
  )
  expect(wordsOfName('src/masks/selection.ts', 'selectMask')).toBe(
    'The mask that keeps the highest scores within a budget.',
  )
  expect(wordsOfName('src/masks/selection.ts', 'none')).toBe(null)
})

test('a constant that is a number has it, and another name has none', () => {
  expect(numberOfName('src/masks/compensation.ts', 'DEFAULT_RIDGE')).toBe('0.01')
  expect(numberOfName('src/masks/compensation.ts', 'compensations')).toBe(null)
  expect(numberOfName('src/masks/compensation.ts', 'RIDGE')).toBe(null)
})
