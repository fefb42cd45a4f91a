/**
 * Where the links of documents lead on the site: documents are pages of the reference, files of `src/spec` chapters of the annotated
 * specification, the page files the pages made of them, and other files pages of `source` (`site_sources.ts`).
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, posix } from 'node:path'
import { parseModule, readSources, root } from '../spec/harness/syntax.ts'
import { textFor } from './package/readme.ts'
import { declaredNames } from './spec_page/source.ts'

/** A link of Markdown to a file. */
const link = /\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)/g

/** What becomes a page of the reference, or is shown in one. */
const isOfReference = (path: string): boolean => /\.(?:md|png|svg)$/.test(path)

/** The pages of the site that files of the checkout become. */
const pages: Readonly<Record<string, string>> = {
  'src/web/index.html': 'live/index.html',
  'src/web/spec_page/index.html': 'spec/index.html',
}

/** Where a file or folder is shown on the site; null for what the reference shows itself. */
function siteAddress(path: string): string | null {
  if (isOfReference(path)) return null
  if (path.startsWith('src/spec/')) return `spec/index.html#${basename(path, '.ts')}`
  return (
    pages[path] ??
    (statSync(`${root}${path}`).isDirectory() ? `source/index.html#${path}` : `source/${path}.html`)
  )
}

/** What a document links to in this checkout, as paths from its root. */
function linksOf(document: string): string[] {
  const found = readFileSync(`${root}${document}`, 'utf8').matchAll(link)
  return Array.from(found, ([, to]) => pathOf(document, to)).filter((path) => path !== null)
}

function pathOf(document: string, to: string): string | null {
  const path = posix.join(posix.dirname(document), to).replace(/\/$/, '')
  return path !== '.' && existsSync(`${root}${path}`) ? path : null
}

/** These documents, and those that they link to, directly or not. */
export function linkedDocuments(documents: readonly string[]): string[] {
  const found = new Set(documents)
  for (const document of found)
    for (const path of linksOf(document)) if (path.endsWith('.md')) found.add(path)
  return [...found]
}

/** The files and folders that documents link to and that have pages in `source`. */
export function linkedSources(documents: readonly string[]): string[] {
  const paths = new Set(documents.flatMap(linksOf))
  return [...paths].filter((path) => siteAddress(path)?.startsWith('source/'))
}

/**
 * A document as the site has it: the text for the site, and links to files of the checkout as `site:ADDRESS`, which
 * `docs/titles.mjs` writes from each page.
 */
export function siteText(document: string, text: string): string {
  // The highlighter of the reference does not know CUDA.
  const own = textFor('site', text).replaceAll('```cuda', '```cpp')
  return own.replaceAll(link, (whole, to: string) => {
    const path = pathOf(document, to)
    const address = path === null ? null : siteAddress(path)
    return address === null ? whole : `](site:${address})`
  })
}

/** Where the names that a module declares begin, by lines from 1. */
const linesOfNames = (path: string): [name: string, line: number][] => {
  const text = readFileSync(`${root}${path}`, 'utf8')
  return Array.from(declaredNames(parseModule({ path, text })), ([name, start]) => [
    name,
    text.slice(0, start).split('\n').length,
  ])
}

/** Where the site shows the definition that holds a line of a module of `src`, as `site:ADDRESS`. */
export function definitionAddress(path: string, line: number): string {
  const address = siteAddress(path) ?? ''
  const [name] = linesOfNames(path).findLast(([, at]) => at <= line) ?? []
  if (name === undefined) return `site:${address}`
  return `site:${address}${address.includes('#') ? '.' : '#'}${name}`
}

/** Where the specification defines what it exports, by names, as `site:ADDRESS`. */
export function specificationAddresses(): Map<string, string> {
  return new Map(
    readSources('src/spec').flatMap(({ path, text }) =>
      Array.from(text.matchAll(/^export (?:function\*?|const|interface|type) (\w+)/gm), ([, name]) => [
        name,
        `site:${siteAddress(path)}.${name}`,
      ]),
    ),
  )
}
