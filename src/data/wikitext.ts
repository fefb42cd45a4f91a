/**
 * WikiText (Merity et al. 2016) as others read it: its pages as lm-evaluation-harness has them, its stream as users of
 * Hugging Face datasets have it.
 *
 * The file is tokenised text: spaces around punctuation, " @-@ " for a hyphen, " = Title = " above a page and
 * " = = Section = = " above its parts. A page is detokenised before it is encoded; its words are counted before that.
 * Files come raw (`wiki.test.raw`) or as parquet: a column `text` with lines, or `page` with pages.
 */
import { readParquet, type PlacedRow } from '../io/row_file.ts'
import { fileNameOf } from '../platform/platform.ts'
import { InputError } from '../tensor/errors.ts'
import { countPieces, strip } from './python_text.ts'
import { RowReader } from './tasks/row.ts'
import { readText, type Page, type PagedText } from './texts.ts'

/**
 * Reads WikiText, raw or parquet.
 * @throws InputError those of `readRowFile` and `readText`, TASK_ROW, TEXT_EMPTY
 */
export async function readWikitext(path: string): Promise<PagedText> {
  const name = fileNameOf(path)
  const rows = await readParquet(path)
  if (rows === null) return wikitextOf(name, (await readText(path)).split('\n'))
  if (!rows[0]?.values.has('page')) return wikitextOf(name, linesOfRows(rows))
  return textOfPages(
    name,
    rows.map((row) => new RowReader(row).anyText('page')),
  )
}

/** A row of the hub is a line with its line break, or nothing for a line without text, which is one space in the file. */
function linesOfRows(rows: readonly PlacedRow[]): string[] {
  return [...rows.map((row) => new RowReader(row).anyText('text').replace(/\n$/, '') || ' '), '']
}

/** @param lines without line breaks */
export function wikitextOf(name: string, lines: readonly string[]): PagedText {
  return { ...textOfPages(name, splitPages(lines)), stream: joinLines(lines) }
}

function textOfPages(name: string, pages: readonly string[]): PagedText {
  const kept = pages.filter((page) => strip(page) !== '').map(pageOf)
  if (kept.length > 0) return { name, pages: kept, stream: joinLines(pages.join('\n').split('\n')) }
  throw new InputError('TEXT_EMPTY', `${name}: expected some text, got none`)
}

function pageOf(page: string): Page {
  return {
    name: strip(page).split('\n', 1)[0].split('=').map(strip).find(Boolean) ?? '',
    genre: 'wikitext',
    text: detokenise(page),
    stream: joinLines(page.split('\n')),
    words: countPieces(page),
    bytes: new TextEncoder().encode(page).length,
  }
}

/** Whether a line is " = Title = ": one sign on either side, not more. */
export function isTitle(line: string): boolean {
  const plain = strip(line.replaceAll('= = =', '===').replaceAll('= =', '=='))
  return plain.startsWith('= ') && plain.endsWith(' =')
}

/** Pages, each with its title; what stands before the first title belongs to no page unless it is text. */
export function splitPages(lines: readonly string[]): string[] {
  const pages: string[] = []
  let page: string[] = []
  const end = (): void => {
    const text = page.join('\n')
    if (strip(text) !== '') pages.push(text)
    page = []
  }
  for (const line of lines) {
    if (isTitle(line)) end()
    page.push(line)
  }
  end()
  return pages
}

/** As the rows of the hub joined by two line breaks: a line keeps its own, and one without text is nothing at all. */
export function joinLines(lines: readonly string[]): string {
  const last = lines.at(-1) === '' ? -1 : undefined
  return lines
    .slice(0, last)
    .map((line) => (strip(line) === '' ? '' : `${line}\n`))
    .join('\n\n')
}

/** The page as it might have been typed, by the rules of lm-evaluation-harness, in their order. */
export function detokenise(page: string): string {
  let text = page.replaceAll("s '", "s'").replaceAll(/\/' [0-9]\//g, "/'[0-9]/")
  for (const mark of ['-', ',', '.']) text = text.replaceAll(` @${mark}@ `, mark)
  for (const mark of [':', ';', '.', '!', '?', ',']) text = text.replaceAll(` ${mark} `, `${mark} `)
  for (const [open, close] of ['()', '[]', '{}', '""', "''"]) text = tighten(text, open, close)
  return text
    .replaceAll('= = = =', '====')
    .replaceAll('= = =', '===')
    .replaceAll('= =', '==')
    .replaceAll(' ° ', '°')
    .replaceAll(' \n', '\n')
    .replaceAll('\n ', '\n')
    .replaceAll(' N ', ' 1 ')
    .replaceAll(" 's", "'s")
}

/** Takes the space inside of brackets or quotes away, from the first opening to the nearest closing and so on. */
function tighten(text: string, open: string, close: string): string {
  let result = ''
  let start = 0
  for (;;) {
    const from = text.indexOf(open, start)
    const to = from < 0 ? -1 : text.indexOf(close, from + 1)
    if (to < 0) return result + text.slice(start)
    result += text.slice(start, from + 1) + strip(text.slice(from + 1, to)) + close
    start = to + 1
  }
}
