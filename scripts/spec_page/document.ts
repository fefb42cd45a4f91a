/**
 * The annotated specification as HTML: the files of `src/spec` in the order of `docs/guides/read.md`, words beside code.
 *
 * No sentence and no line of code is written here: titles are those of the guide, words and code those of the files. A second
 * page has the files that they import from `src/ops` and `src/tensor`, so that every name leads to its definition.
 */
import { posix } from 'node:path'
import type { Source } from '../../spec/harness/syntax.ts'
import { codeOf, type SetCode } from './code.ts'
import { escapeText } from '../../src/experiments/report/markup.ts'
import { setWords, type FindName } from './prose.ts'
import { readChapter, type Chapter, type Row } from './source.ts'

/** A page: its file, and the files it shows, in order. */
export interface Page {
  readonly file: string
  readonly chapters: readonly Chapter[]
  /** The title of a chapter; its path without one. */
  readonly titles: ReadonlyMap<string, string>
}

/** The parts of a page. */
export interface PageParts {
  readonly contents: string
  readonly chapters: string
}

/** The files of `src/spec` and their titles, as the table of the guide lists them. */
export function readingOrder(guide: string): Map<string, string> {
  const rows = guide.matchAll(/^\| \[[^\]]+\]\(\.\.\/\.\.\/(src\/spec\/[^)]+)\)\s*\| (.*?)\s*\|$/gm)
  return new Map(Array.from(rows, ([, path, title]) => [path, title]))
}

/** The page of the specification, and that of the operations it imports. @param read the text of a file by its path */
export function readPages(guide: string, read: (path: string) => string): readonly [Page, Page] {
  const titles = readingOrder(guide)
  const chapter = (path: string): Chapter => readChapter({ path, text: read(path) } satisfies Source)
  const chapters = [...titles.keys()].map(chapter)
  const imported = chapters.flatMap(({ references }) => references.map(({ path }) => path))
  const others = [...new Set(imported)].filter((path) => !titles.has(path)).toSorted()
  return [
    { file: 'index.html', chapters, titles },
    { file: 'operations.html', chapters: others.map(chapter), titles: new Map() },
  ]
}

/** The address of a file, or of a name in it. */
export function addressOf(path: string, name: string | null = null): string {
  const file = posix.basename(path, '.ts')
  return name === null ? file : `${file}.${name}`
}

/**
 * The parts of a page.
 * @param asides what is shown beside a definition, by address; before a chapter, by `before.` and its address
 * @param references the page of the library's reference about a definition of the same name, by address
 */
export function pageParts(
  page: Page,
  pages: readonly Page[],
  asides: ReadonlyMap<string, string> = new Map(),
  references: ReadonlyMap<string, string> = new Map(),
): PageParts {
  const linkTo = (path: string, name: string | null): string | null => {
    const found = pages.find(({ chapters }) => chapters.some((chapter) => chapter.path === path))
    if (found === undefined) return null
    return `${found === page ? '' : found.file}#${addressOf(path, name)}`
  }
  return {
    contents: `<ol>${page.chapters.map((chapter) => contentsOf(chapter, page)).join('\n')}</ol>`,
    chapters: page.chapters.map((chapter) => sectionOf(chapter, page, linkTo, asides, references)).join('\n'),
  }
}

/** The title of a chapter as HTML. */
function titleOf({ path }: Chapter, { titles }: Page): string {
  const title = titles.get(path)
  const text = escapeText(title ?? posix.basename(path, '.ts')).replace(/`(.*?)`/g, '<code>$1</code>')
  return title === undefined ? text : text[0].toUpperCase() + text.slice(1)
}

function contentsOf(chapter: Chapter, page: Page): string {
  const names = chapter.rows.flatMap((row) => row.names)
  const links = names.map((name) => `<a href="#${addressOf(chapter.path, name)}">${escapeText(name)}</a>`)
  const title = `<a href="#${addressOf(chapter.path)}">${titleOf(chapter, page)}</a>`
  return `<li>${title} <span class="names">${links.join(' ')}</span></li>`
}

type LinkTo = (path: string, name: string | null) => string | null

function sectionOf(
  chapter: Chapter,
  page: Page,
  linkTo: LinkTo,
  asides: ReadonlyMap<string, string>,
  references: ReadonlyMap<string, string>,
): string {
  const { path, head, imports } = chapter
  const find = findIn(chapter, page, linkTo)
  const code = codeOf(chapter, (reference) => linkTo(reference.path, reference.name))
  let isInPart = false
  const definitions: string[] = []
  let [rows, beside] = ['', ''] // of one definition, and what stands beside it
  const close = (): void => {
    definitions.push(
      beside === ''
        ? rows
        : `<div class="with-value"><div>${rows}</div><div class="value">${beside}</div></div>`,
    )
    ;[rows, beside] = ['', '']
  }
  for (const row of chapter.rows) {
    const isInside = row.to > row.from && /^\s/.test(chapter.lines[row.from])
    if (!isInside) close()
    const part = /^-+ (.*?) -+$/m.exec(row.words)
    const heading = part === null && isInPart ? 'h4' : 'h3'
    isInPart ||= part !== null
    rows += rowOf(row, chapter.lines[row.from] ?? '', part, heading, path, find, code, references)
    beside += row.names.map((name) => asides.get(addressOf(path, name)) ?? '').join('')
  }
  close()
  return `${asides.get(`before.${addressOf(path)}`) ?? ''}<section class="chapter" id="${addressOf(path)}" data-path="${path}">
<header><p class="path"><a href="../source/${path}.html">${path}</a></p><h2>${titleOf(chapter, page)}</h2></header>
<div class="head words">${setWords(head, find)}</div>
${asides.get(addressOf(path)) ?? ''}
${imports.to > imports.from ? `<details class="imports"><summary>imports</summary>${codeBlock(imports, code)}</details>` : ''}
${definitions.join('\n')}
</section>`
}

/** How a chapter finds what its words mean: its own names and imports, and files. */
function findIn({ path, rows, references }: Chapter, { chapters }: Page, linkTo: LinkTo): FindName {
  return (name) => {
    const file = chapters.find((chapter) => posix.basename(chapter.path) === name)?.path ?? name
    if (file.endsWith('.ts')) return linkTo(file, null)
    if (rows.some((row) => row.names.includes(name))) return linkTo(path, name)
    const imported = references.find((reference) => reference.name === name)
    return imported === undefined ? null : linkTo(imported.path, imported.name)
  }
}

function codeBlock({ from, to }: Row, code: SetCode): string {
  return `<pre tabindex="0"><code>${code(from, to)}</code></pre>`
}

function rowOf(
  row: Row,
  first: string,
  part: RegExpExecArray | null,
  heading: string,
  path: string,
  find: FindName,
  code: SetCode,
  references: ReadonlyMap<string, string>,
): string {
  const { words, names, from, to } = row
  const own = names.map((name, i) => {
    // The first is the address of the row.
    const id = i === 0 ? '' : ` id="${addressOf(path, name)}"`
    const reference = references.get(addressOf(path, name))
    const link =
      reference === undefined
        ? ''
        : ` <a class="manual" href="${reference}" aria-label="${name} in the reference of the library">reference</a>`
    return `<a${id} href="#${addressOf(path, name)}">${escapeText(name)}</a>${link}`
  })
  const titles = [part?.[1] ?? '', own.join(', ')].filter((title) => title !== '')
  const rest = part === null ? words : words.replace(part[0], '').trim()
  // What a type says, its functions use: it has less weight.
  const kind = /^export (?:interface|type) /.test(first) ? 'row type' : 'row'
  return `<div class="${kind}"${names.length > 0 ? ` id="${addressOf(path, names[0])}"` : ''}>
<div class="words">${titles.map((title) => `<${heading}>${title}</${heading}>\n`).join('')}${setWords(rest, find)}</div>
${to > from ? codeBlock(row, code) : ''}
</div>`
}
