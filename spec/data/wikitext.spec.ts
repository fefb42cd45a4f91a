/**
 * WikiText as others read it: pages split and detokenised by the harness's rules, which are written here as the regular
 * expressions they were published as; the stream as rows of the hub joined by two line breaks.
 *
 * Tests src/data/texts.ts.
 */
import fc from 'fast-check'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { firstPages, textOfDocuments } from '../../src/data/texts.ts'
import {
  detokenise,
  isTitle,
  joinLines,
  readWikitext,
  splitPages,
  wikitextOf,
} from '../../src/data/wikitext.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { developmentData } from './development_data.ts'

const folder = temporaryFolder()

/** The rules one by one, as published; quadratic where the input is unkind. */
function byTheRules(page: string): string {
  const steps: [string | RegExp, string][] = [
    ["s '", "s'"],
    [/\/' [0-9]\//g, "/'[0-9]/"],
    [' @-@ ', '-'],
    [' @,@ ', ','],
    [' @.@ ', '.'],
    [' : ', ': '],
    [' ; ', '; '],
    [' . ', '. '],
    [' ! ', '! '],
    [' ? ', '? '],
    [' , ', ', '],
    [/\(\s*([^)]*?)\s*\)/g, '($1)'],
    [/\[\s*([^\]]*?)\s*\]/g, '[$1]'],
    [/{\s*([^}]*?)\s*}/g, '{$1}'],
    [/"\s*([^"]*?)\s*"/g, '"$1"'],
    [/'\s*([^']*?)\s*'/g, "'$1'"],
    ['= = = =', '===='],
    ['= = =', '==='],
    ['= =', '=='],
    [' ° ', '°'],
    [' \n', '\n'],
    ['\n ', '\n'],
    [' N ', ' 1 '],
    [" 's", "'s"],
  ]
  return steps.reduce((text, [from, to]) => text.replaceAll(from, to), page)
}

const pieces = [
  ' ',
  ' ',
  ' ',
  'a',
  's',
  'N',
  '7',
  '\n',
  '=',
  '°',
  ...'@-,.:;!?()[]{}"\'/',
  ' @-@ ',
  " 's",
  '= = ',
]
const somePage = fc.array(fc.constantFrom(...pieces), { maxLength: 60 }).map((parts) => parts.join(''))

const followsTheRules = lawForAll(
  'is detokenised by the rules',
  { page: somePage },
  (make: typeof detokenise, { page }) => expect(make(page)).toBe(byTheRules(page)),
  { runs: 500 },
)

describe('a page', () => {
  stateLaw(followsTheRules, detokenise)

  test('is detokenised to plain text', () => {
    const page =
      ' = The Owl = \n \n It sold 1 @,@ 200 copies ( in 1961 @-@ 62 ) , " a lot " , Owl \'s fans say . \n'
    expect(detokenise(page)).toBe(
      ' = The Owl =\n\nIt sold 1,200 copies (in 1961-62), "a lot", Owl\'s fans say.\n',
    )
  })

  test('of brackets only takes linear time', () => {
    expect(detokenise('( '.repeat(200_000))).toHaveLength(400_000)
  })

  test.each([
    [' = Owl = ', true],
    [' = The = Owl = ', true],
    [' = = Diet = = ', false],
    [' = = = Mice = = = ', false],
    [' = Owl', false],
    ['', false],
  ])('%j is a title: %s', (line, expected) => expect(isTitle(line)).toBe(expected))
})

const someLine = fc.oneof(
  fc.constantFrom(' ', ' = Owl = ', ' = = Diet = = ', ' It eats mice . ', '', ' = A = '),
  fc.stringMatching(/^ [a-z]{1,5} \. $/),
)
const someLines = fc.array(someLine, { maxLength: 30 })

/** Together the pages are the lines from the first text on; each but the first begins with a title. */
const splitsWhole = lawForAll(
  'are the text, cut before each title',
  { lines: someLines },
  (split: typeof splitPages, { lines }) => {
    const pages = split(lines)
    expect(pages.slice(1).every((page) => isTitle(page.split('\n')[0]))).toBe(true)
    for (const page of pages) expect(page.split('\n').slice(1).some(isTitle)).toBe(false)
    const start = lines.slice(0, lines.findIndex(isTitle)).every((line) => line.trim() === '')
      ? Math.max(0, lines.findIndex(isTitle))
      : 0
    const kept = lines.slice(start).join('\n')
    expect(pages.join('\n')).toBe(kept.trim() === '' ? '' : kept)
  },
)

describe('pages', () => {
  stateLaw(splitsWhole, splitPages)

  test('count words and bytes as published, the empty pieces at the ends included', () => {
    const { pages } = wikitextOf('w', [' = Owl = ', ' ', ' It eats é . ', ''])
    expect(pages).toMatchObject([{ name: 'Owl', words: 9, bytes: 27 }])
  })
})

const lines = [' ', ' = Owl = ', ' ', ' It eats mice . ', ' ', ' = Cat = ', ' ', ' It does , too . ', '']

describe('the stream', () => {
  test('is lines with their line breaks, two more between them, and nothing for a line without text', () => {
    expect(joinLines([' ', ' a ', ' b ', ''])).toBe('\n\n a \n\n\n b \n')
    const text = wikitextOf('w', lines)
    expect(text.stream).toBe(joinLines(lines))
    expect(firstPages(text, 1).stream).toBe('\n\n = Owl = \n\n\n\n\n It eats mice . \n\n\n'.slice(2))
  })

  test('of documents has an empty line between them', () => {
    const documents = ['one', 'two three'].map((text) => ({ name: text, genre: 'g', text }))
    expect(textOfDocuments('d', documents)).toMatchObject({
      stream: 'one\n\ntwo three',
      pages: [{ words: 1, bytes: 3 }, { words: 2 }],
    })
    expect(() => textOfDocuments('d', [{ name: 'x', genre: 'g', text: ' \n' }])).toThrow(
      'd: expected some text, got none',
    )
  })
})

describe('a file', () => {
  test('gives the same text raw, as parquet of lines, and as parquet of pages', async () => {
    const raw = join(folder, 'raw')
    writeFileSync(raw, lines.join('\n'))
    const write = (name: string, column: string, data: string[]): string => {
      const path = join(folder, name)
      writeFileSync(
        path,
        new Uint8Array(parquetWriteBuffer({ columnData: [{ name: column, data, type: 'STRING' }] })),
      )
      return path
    }
    const rows = lines.slice(0, -1).map((line) => (line.trim() === '' ? '' : `${line}\n`))
    const whole = await readWikitext(raw)
    expect(whole.pages).toHaveLength(2)
    const ofLines = await readWikitext(write('lines', 'text', rows))
    expect(ofLines).toEqual({ ...whole, name: 'lines' })
    const ofPages = await readWikitext(write('pages', 'page', splitPages(lines)))
    expect(ofPages.pages).toEqual(whole.pages)
  })

  test('without text, or in another encoding, is refused', async () => {
    const path = join(folder, 'bad')
    writeFileSync(path, ' \n \n')
    await expect(readWikitext(path)).rejects.toThrow('bad: expected some text, got none')
    writeFileSync(path, Uint8Array.of(0x61, 0xff, 0x62))
    await expect(readWikitext(path)).rejects.toMatchObject({ code: 'TEXT_ENCODING', exitCode: 3 })
  })

  const published = join(developmentData, 'wikitext-2/wiki.valid.raw')
  test.skipIf(!existsSync(published))('the published validation text has 60 pages', async () => {
    const { pages, stream } = await readWikitext(published)
    expect(pages).toHaveLength(60)
    expect(stream.startsWith('\n\n = Homarus gammarus = \n\n\n')).toBe(true)
    for (const { text } of pages) expect(text).not.toMatch(/ @[-,.]@ /)
  })
})

const mutants: [string, (page: string) => string][] = [
  ['one rule is left out', (page) => detokenise(page.replaceAll(' ; ', ' ;  '))],
  ['a bracket without a partner loses its space', (page) => detokenise(page).replaceAll('( ', '(')],
  ['a space stays inside of a bracket', (page) => detokenise(page).replaceAll('(', '( ')],
]

describe('mutants', () => {
  test.each(mutants)('%s: killed', (_, mutant) => kills(followsTheRules, mutant))

  test('a mutant that cuts pages at sections is killed', () =>
    kills(splitsWhole, (all) => splitPages(all.map((line) => line.replaceAll('= =', '=')))))
})
