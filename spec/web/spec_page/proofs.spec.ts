/**
 * The annotated specification is `src/spec`: every word and every line of code of it once, in order; formulas keep their
 * characters, and names lead to definitions.
 */
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  addressOf,
  pageParts,
  readingOrder,
  readPages,
  type Page,
  type PageParts,
} from '../../../scripts/spec_page/document.ts'
import { typeset } from '../../../scripts/spec_page/mathematics.ts'
import { plant } from '../../../scripts/spec_page/plants.ts'
import { setCompared } from '../../../scripts/spec_page/compared.ts'
import { setMethod, setSymbols } from '../../../scripts/spec_page/idea.ts'
import { parseConfig } from '../../../src/engine/config.ts'
import { setBugs, setProof } from '../../../scripts/spec_page/proof.ts'
import { fileOf, proofs } from '../../../src/web/spec_page/proofs.ts'
import { figures } from '../../../src/web/spec_page/figures.ts'
import { readSources, root } from '../../harness/syntax.ts'
import { law } from '../../harness/seed.ts'

const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8')
const pages = readPages(read('docs/guides/read.md'), read)
const [specification, operations] = pages
const parts = new Map(pages.map((page) => [page, pageParts(page, pages)]))
const partsOf = (page: Page): PageParts => parts.get(page) ?? pageParts(page, pages)

/** The text of HTML; a formula is its source. */
function textOf(html: string): string {
  return html
    .replace(/<math alttext="([^"]*)".*?<\/math>/gs, '$1')
    .replace(/<[^>]*>/g, '')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')
}

const inOneLine = (text: string): string => text.replace(/\s+/g, ' ').trim()

/** The sections of a page: the path of each, and its HTML. */
function sectionsOf({ chapters }: PageParts): [path: string, html: string][] {
  return chapters
    .split('<section ')
    .slice(1)
    .map((html) => [/data-path="([^"]*)"/.exec(html)?.[1] ?? '', html])
}

/** The code of a section, line by line. */
function codeOf(html: string): string[] {
  const blocks = html.matchAll(/<pre[^>]*><code>(.*?)<\/code><\/pre>/gs)
  return Array.from(blocks, ([, block]) => textOf(block).split('\n')).flat()
}

/** The words of a section without the titles of its rows. */
function wordsOf(html: string): string {
  const blocks = html.matchAll(/<div class="(?:head )?words">(.*?)<\/div>\n/gs)
  const titles = /<h[34]><a .*?<\/h[34]>/g
  return inOneLine(Array.from(blocks, ([, block]) => textOf(block.replace(titles, ''))).join(' '))
}

/** Lines that are comments and nothing else, read without a parser. */
const isComment = (line: string): boolean => /^\s*(?:\/\*\*|\*|\/\/)/.test(line)

/** What a file's comments say, without the marks of comments, code and parameters. */
function commentsOf(text: string): string {
  const lines = text.split('\n').filter(isComment)
  const bare = lines.map((line) => line.replace(/^\s*(?:\/\*\*|\*\/|\*|\/\/)/, '').replace(/\*\/$/, ''))
  return inOneLine(
    bare
      .join(' ')
      .replace(/@param /g, '')
      .replace(/`|-{4,}|(?<=\s)-- /g, ''),
  )
}

/** Faults of a page against the files. */
function faultsOf(page: Page): string[] {
  return sectionsOf(partsOf(page)).flatMap(([path, html]) => {
    const text = read(path)
    const lines = text.split('\n').filter((line) => line.trim() !== '' && !isComment(line))
    const code = codeOf(html).filter((line) => line.trim() !== '')
    const at = lines.findIndex((line, i) => line !== code[i])
    const faults =
      at < 0 && code.length === lines.length ? [] : [`${path}: ${lines[at] ?? code[lines.length]}`]
    const [words, expected] = [wordsOf(html), commentsOf(text)]
    const letter = [...expected].findIndex((character, i) => character !== words[i])
    if (words !== expected)
      faults.push(`${path}: ${expected.slice(letter, letter + 40)} | ${words.slice(letter, letter + 40)}`)
    return faults
  })
}

describe('the page is the specification', () => {
  test('it has every file of src/spec, in the order of the guide', () => {
    expect([...readingOrder(read('docs/guides/read.md')).keys()].toSorted()).toEqual(
      readSources('src/spec').map(({ path }) => path),
    )
    const paths = sectionsOf(partsOf(specification)).map(([path]) => path)
    expect(paths).toEqual([...readingOrder(read('docs/guides/read.md')).keys()])
  })

  test.each(pages.map((page) => [page.file, page] as const))(
    'every line of code and every word of a comment is in %s once, in order',
    (_, page) => expect(faultsOf(page)).toEqual([]),
  )

  test('a row that is left out, doubled or moved is found', () => {
    const chapter =
      specification.chapters.find(({ path }) => path.endsWith('/program.ts')) ?? expect.unreachable()
    const changed = (change: (rows: typeof chapter.rows) => typeof chapter.rows): Page => ({
      ...specification,
      chapters: [{ ...chapter, rows: change(chapter.rows) }],
    })
    for (const page of [
      changed((rows) => rows.slice(1)),
      changed((rows) => [rows[0], ...rows]),
      changed(([first, second, ...rest]) => [second, first, ...rest]),
      changed((rows) => rows.map((row) => ({ ...row, words: row.words.replace('layer', 'lair') }))),
    ])
      expect(faultsOf(page).length).toBeGreaterThan(0)
  })
})

describe('the page is a document', () => {
  const html = pages.map((page) => {
    const { contents, chapters } = partsOf(page)
    return [page.file, `<h1></h1><h2></h2>${contents}${chapters}`] as const
  })
  const idsOf = (text: string): string[] => Array.from(text.matchAll(/ id="([^"]*)"/g), ([, id]) => id)

  test.each(html)('headings of %s go down one level at a time', (_, text) => {
    const levels = Array.from(text.matchAll(/<h(\d)/g), ([, level]) => Number(level))
    expect(levels.filter((level, i) => i > 0 && level > levels[i - 1] + 1)).toEqual([])
  })

  test.each(html)('addresses of %s are unique', (_, text) => {
    const ids = idsOf(text)
    expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([])
  })

  test('every link within the pages leads somewhere', () => {
    const known = new Set(html.flatMap(([file, text]) => idsOf(text).map((id) => `${file}#${id}`)))
    const dead = html.flatMap(([file, text]) =>
      Array.from(text.matchAll(/ href="(?!https:|\.\.\/)([^"]*)"/g), ([, href]) =>
        href.startsWith('#') ? file + href : href,
      ).filter((href) => !known.has(href)),
    )
    expect(dead).toEqual([])
    expect(known.size).toBeGreaterThan(100)
  })

  test('names in code lead to what they mean, and not where a parameter has their name', () => {
    const opt = sectionsOf(partsOf(specification)).find(([path]) => path === 'src/spec/opt.ts')?.[1] ?? ''
    expect(opt).toContain('<a href="#program.units">units</a>')
    expect(opt).toContain('<a href="#program.combine">combine</a>')
    const select = sectionsOf(partsOf(specification)).find(([path]) => path.endsWith('select.ts'))?.[1] ?? ''
    expect(select).toContain('<a href="operations.html#top_k.top_k">top_k</a>')
    expect(operations.chapters.length).toBeGreaterThan(16)
  })
})

describe('formulas', () => {
  test.each([
    ['kept = round((1 − s) N)', 'mi:kept mo:= mi:round'],
    ['x = x + out(m_h ⊙ attention(q(n)))', 'msub'],
    ['score = Σ_t | a[t, j] g[t, j] |', 'munder'],
    ['r = rate (1 + cos(π (n − 1) / S)) / 2', 'mfrac'],
    ['w = w (1 − r d) − r (m / (1 − β1ⁿ)) / (√(v / (1 − β2ⁿ)) + ε)', 'msqrt'],
    ['f W1ᵀ + b1', 'msubsup'],
    ['y_{i+K/2} = x_{i+K/2} cos φ + x_i sin φ', 'msub mi:φ'],
    ['φ = p base^(−2 i/K)', 'msup mi:base'],
    ['v = β2 v + (1 − β2) g²', 'msup'],
    ['⌊⌊100 s⌋ N / 100⌋', 'mfrac'],
    ['K^(-1/2)', 'msup mo:− mn:2'],
    ['s = 1 / (1 + e^-gate)', 'msup mi:gate mfrac'],
    ['x_grad += scale * n^2', 'msub mi:grad mo:+= mo:· msup'],
    ['score_grad = w (w_grad - <w, w_grad>)', 'msub mi:score mo:−'],
    ['-126 <= n <= 127', 'mo:− mo:≤'],
  ])('%s is one formula', (text, parts) => {
    const html = typeset(text, true)
    expect(html).toMatch(/^<math [^>]*>.*<\/math>$/)
    for (const part of parts.split(' ')) {
      const [tag, content] = part.split(':')
      expect(html).toContain(content === undefined ? `<${tag}>` : `<${tag}>${content}</${tag}>`)
    }
  })

  test.each([
    'a unit that is skipped',
    'A head is its rows',
    'see lm_eval/base.py',
    'per-layer, key-value',
    'the paper (of 2024)',
    'it needs + - * / alone',
    'xoshiro128** of two',
    'see linear_input_major',
  ])('%s has no formula', (text) => expect(typeset(text)).toBe(text))

  test.each(pages.map((page) => [page.file, page] as const))(
    'no sign of a formula in %s stays as it is typed: a star, a caret, an inner product or a comparison in two characters',
    (_, page) => {
      const words = sectionsOf(partsOf(page)).map(([, html]) =>
        html.replace(/<pre.*?<\/pre>|<code>.*?<\/code>|<math.*?<\/math>/gs, ''),
      )
      const typed = /.{0,20}(?:[\p{L}\d)\]] \* |[\p{L}\d)\]]\^|&[lg]t;=|&lt;\p{L}).{0,20}/gu
      expect(words.flatMap((text) => text.match(typed) ?? [])).toEqual([])
      expect(typeset('query <a, b> * c')).toContain('>⟨</mo>')
    },
  )

  test('a letter, a list and a sum among words are formulas', () => {
    const html = typeset('with g the derivative of x [T, H K] and 1/L')
    expect(Array.from(html.matchAll(/alttext="([^"]*)"/g), ([, source]) => source)).toEqual([
      'g',
      'x [T, H K]',
      '1/L',
    ])
  })

  law(
    'setting a text keeps its characters',
    {
      pieces: fc.array(
        fc.constantFrom(
          ...'aAxWΣ√|()[]{}^⌈⌉,=+−-/*⊙_ᵀ²⁻ 1.2min<>&"',
          ' softmax(',
          ' of ',
          'β1',
          'dW1',
          '_grad',
        ),
        {
          maxLength: 40,
        },
      ),
      standsAlone: fc.boolean(),
    },
    ({ pieces, standsAlone }) => {
      const text = pieces.join('')
      expect(textOf(typeset(text, standsAlone))).toBe(text)
    },
  )
})

describe('laws beside definitions', () => {
  const addresses = new Set(
    specification.chapters.flatMap(({ path, rows }) =>
      rows.flatMap(({ names }) => names.map((name) => addressOf(path, name))),
    ),
  )

  test('figures and laws stand beside definitions', () => {
    const places = [...proofs, ...figures].map(({ address }) => address)
    expect(places.filter((address) => !addresses.has(address))).toEqual([])
  })

  test.each(proofs.map((proof) => [proof.bug, proof] as const))('%s: a line of the file', (_, proof) => {
    const text = read(fileOf(proof))
    const planted = plant(text, proof.line, proof.planted)
    const changed = planted.split('\n').filter((line, i) => line !== text.split('\n')[i])
    expect(changed.map((line) => line.trim())).toEqual([proof.planted])
    expect(() => plant(text, 'no such line', '')).toThrow('expected one such line, got 0')
    // It belongs to the definition that the page shows it beside.
    const { rows, lines } =
      specification.chapters.find(({ path }) => path === fileOf(proof)) ?? expect.unreachable()
    const at = lines.findIndex((line) => line.trim() === proof.line)
    const own = rows.filter(({ names, from }) => names.length > 0 && from <= at).at(-1)
    expect(own?.names.map((name) => addressOf(fileOf(proof), name))).toContain(proof.address)
  })
})

test('every button of a law and a bug has a name of its own', () => {
  const html = [setBugs(proofs), ...proofs.map(setProof)].join('')
  const names = Array.from(
    html.matchAll(/<button([^>]*)>([^<]*)/g),
    ([, attributes, text]) => /aria-label="([^"]*)"/.exec(attributes)?.[1] ?? text,
  )
  expect(names).toHaveLength(1 + 2 * proofs.length)
  expect(new Set(names).size).toBe(names.length)
})

describe('the top of the page', () => {
  test('the steps of the method are those of its file, and lead to their definitions', () => {
    const [chapter] = specification.chapters
    const html = setMethod(chapter.head)
    const links = Array.from(html.matchAll(/<dt><a href="#shadowllm\.(\w+)">/g), ([, name]) => name)
    expect(links).toEqual(['calibrate', 'train', 'plan', 'generate'])
    const { chapters } = partsOf(specification)
    for (const name of links) expect(chapters).toContain(`id="shadowllm.${name}"`)
    expect(textOf(html)).toContain('keep the best units within the budget')
    expect(() => setMethod('none')).toThrow('shadowllm.ts: expected the steps of the method, got none')
  })

  test('each size of OPT and each value has a symbol, and the sizes are those of the embedded model', () => {
    const config = parseConfig(JSON.parse(read('fixtures/tiny-opt/config.json')) as object)
    const html = setSymbols(read('src/spec/opt.ts'), config, 12)
    const rows = Array.from(
      html.matchAll(/<tr><th scope="row">(.*?)<\/th><td>(.*?)<\/td>/g),
      ([, ...row]) => row,
    )
    expect(rows.slice(0, 8)).toEqual([
      ['T', '12'],
      ['L', '8'],
      ['H', '8'],
      ['K', '32'],
      ['D', '256'],
      ['F', '1,024'],
      ['V', '4,096'],
      ['E', '256'],
    ])
    expect(rows.slice(8).map(([symbol]) => textOf(symbol))).toEqual(
      expect.arrayContaining(['x', 'a, g', 'm']),
    )
    const { chapters } = partsOf(specification)
    for (const [, id] of html.matchAll(/href="#([^"]*)"/g)) expect(chapters).toContain(`id="${id}"`)
    expect(() => setSymbols('  readonly wings: number // W\n', config, 12)).toThrow(
      'opt.ts: expected a size of the model, got wings',
    )
  })

  test('the table of paper, released code and this project is that of the law book, and its links lead somewhere', () => {
    const book = read('spec/README.md')
    const html = setCompared(book)
    const cells = [...html.matchAll(/<tr><th scope="row">(.*?)<\/th>(.*?)<\/tr>/g)]
    const rows = cells.map(([, question, rest]) => [question, ...rest.split('</td>')].map(textOf))
    expect(rows.length).toBeGreaterThan(10)
    expect(rows.filter((row) => row.slice(0, -1).includes(''))).toEqual([])
    for (const [question, here, , released] of rows) {
      expect(book).toContain(`| ${question} `)
      expect(book).toContain(`| ${released} `)
      expect(book).toContain(`| ${here} `)
    }
    const all = partsOf(specification).chapters
    const links = Array.from(html.matchAll(/href="#([^"]*)"/g), ([, address]) => address)
    expect(links.length).toBeGreaterThan(8)
    for (const address of links) expect(all).toContain(`id="${address}"`)
    expect(() => setCompared('no table')).toThrow('expected a table of questions')
  })

  test('every bug can be chosen, and shows its line', () => {
    const html = setBugs(proofs)
    for (const { address, bug, line, planted } of proofs) {
      expect(textOf(html)).toContain(bug)
      expect(html).toContain(`<option value="${address}"`)
      expect(html).toContain(`data-bug="${address}"`)
      for (const code of [line, planted]) expect(textOf(html)).toContain(code)
    }
    expect(html.match(/ hidden>/g)).toHaveLength(proofs.length) // all but the first, and what needs a script
  })
})
