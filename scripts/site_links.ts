/**
 * Where the links of documents lead on the site: documents are pages of the reference, files of `src/spec` chapters of the annotated
 * specification, the page files the pages made of them, and other files pages of `source` (`site_sources.ts`).
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, posix } from 'node:path'
import { parseModule, readSources, root, type Module, type Node } from '../spec/harness/syntax.ts'
import { textFor } from './package/readme.ts'
import { declaredNames, wordsOf } from './spec_page/source.ts'

/** A link of Markdown to a file. */
const link = /\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)/g

/** What becomes a page of the reference, or is shown in one. */
const isOfReference = (path: string): boolean => /\.(?:md|svg|webp)$/.test(path)

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

/** The documents beside guides whose tables follow from result files. */
export function measuredDocuments(guides: readonly string[]): string[] {
  return linkedDocuments(guides).filter(
    (path) =>
      path !== 'README.md' &&
      !guides.includes(path) &&
      /^<!--= /m.test(readFileSync(`${root}${path}`, 'utf8')),
  )
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

/** A module of `src`, taken apart. */
function readModule(path: string): Module {
  return parseModule({ path, text: readFileSync(`${root}${path}`, 'utf8') })
}

/** Whether a module of `src` declares a name at its top. */
export function declares(path: string, name: string): boolean {
  return declaredNames(readModule(path)).has(name)
}

/** Where the site shows what a module of `src` declares, as `site:ADDRESS`. */
export function nameAddress(path: string, name: string): string {
  const address = siteAddress(path) ?? ''
  return `site:${address}${address.includes('#') ? '.' : '#'}${name}`
}

/** Where the site shows a line of a module of `src`, as `site:ADDRESS`: in the specification, the definition that holds it. */
export function lineAddress(path: string, line: number): string {
  if (!path.startsWith('src/spec/')) return `site:${siteAddress(path)}#L${line}`
  const module = readModule(path)
  const lineOf = (start: number): number => module.text.slice(0, start).split('\n').length
  const [name] = [...declaredNames(module)].findLast(([, start]) => lineOf(start) <= line) ?? []
  return name === undefined ? `site:${siteAddress(path)}` : nameAddress(path, name)
}

/** The names that modules of a folder export, and the paths of those that do. */
export function exportedNames(folder: string): Map<string, string[]> {
  const names = new Map<string, string[]>()
  const exported = /^export (?:async |abstract )*(?:function\*?|const|class|interface|type) (\w+)/gm
  for (const { path, text } of readSources(folder))
    for (const [, name] of text.matchAll(exported)) names.set(name, [...(names.get(name) ?? []), path])
  return names
}

/** What the comment of a declaration says of it, up to its tags; null without one. */
export function wordsOfName(path: string, name: string): string | null {
  if (!existsSync(`${root}${path}`) || !path.endsWith('.ts')) return null
  const { text, body, comments } = readModule(path)
  const declares = (node: Node): boolean =>
    ((node.declaration ?? node) as Node & { id?: Node }).id?.name === name
  const start = body.find(declares)?.start
  const comment = comments.findLast(({ end }) => start !== undefined && end <= start)
  if (comment === undefined || text.slice(comment.end, start).trim() !== '') return null
  return wordsOf(comment).split(/^@/m)[0].trim()
}

/** The number that a constant of a module of `src` is, as its source writes it; null for any other name. */
export function numberOfName(path: string, name: string): string | null {
  const text = readFileSync(`${root}${path}`, 'utf8')
  return new RegExp(`^export const ${name} = (-?[\\d.][\\w.]*)$`, 'm').exec(text)?.[1] ?? null
}

/** Where the specification defines what it exports, by names, as `site:ADDRESS`. */
export function specificationAddresses(): Map<string, string> {
  return new Map(Array.from(exportedNames('src/spec'), ([name, [path]]) => [name, nameAddress(path, name)]))
}
