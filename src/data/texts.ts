/**
 * Texts to measure perplexity on: pages, each read on its own, and the same text in one stream.
 */
import { readWhole } from '../io/files.ts'
import { fileNameOf } from '../platform/platform.ts'
import { InputError } from '../tensor/errors.ts'
import { kinds, listOption, recordOption, required, type Kind, type Kinds } from '../tensor/option.ts'
import { inTurn, loadBrown, splitDocuments, type Document } from './corpus.ts'

/** A page of a text: what is read, and what its perplexity is counted over. */
export interface Page extends Document {
  /** Its part of the stream; an empty line parts it from the next. */
  readonly stream: string
  /** Words of the page as it was published. */
  readonly words: number
  /** Bytes of the page as it was published. */
  readonly bytes: number
}

/** A text to measure perplexity on. */
export interface PagedText {
  /** The name of the text in reports. */
  readonly name: string
  /** The texts that are read one by one, each from its start. */
  readonly pages: readonly Page[]
  /** The same text in one piece. */
  readonly stream: string
}

const pageFields: Kinds<Pick<Page, 'name' | 'text' | 'words' | 'bytes'>> = {
  name: required(kinds.text),
  text: required(kinds.text),
  words: required(kinds.number),
  bytes: required(kinds.number),
}
const textFields: Kinds<PagedText> = {
  name: required(kinds.text),
  pages: required(listOption('a list of pages', recordOption('a page', pageFields))),
  stream: required(kinds.text),
}
const pagedText = recordOption('a text, or { name, stream, pages }', textFields)
/** A text to measure perplexity on, or one without pages as it is. */
export const textOption: Kind = {
  ...pagedText,
  holds: (value) => typeof value === 'string' || pagedText.holds(value),
}

/** The largest file of text that is read. */
const LIMIT = 512_000_000

/**
 * The text of a file, without a byte order mark.
 * @throws InputError TEXT_ENCODING for other bytes than UTF-8, FILE_MISSING, FILE_KIND, FILE_LIMIT
 */
export async function readText(path: string): Promise<string> {
  const bytes = await readWhole(path, LIMIT)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    throw new InputError('TEXT_ENCODING', `${path}: expected UTF-8 text, got other bytes`, { cause })
  }
}

/** Files as documents, one each; a file is a genre of its own. @throws as `readText` */
export async function readDocuments(paths: readonly string[]): Promise<Document[]> {
  const documents: Document[] = []
  for (const path of paths) {
    const name = fileNameOf(path)
    documents.push({ name, genre: name, text: await readText(path) })
  }
  return documents
}

/**
 * The documents of the Brown corpus that are kept for evaluation, genres in turn, so that the first few are of as many
 * genres.
 * @throws MissingError CORPUS_MISSING
 */
export async function brownForEvaluation(): Promise<Document[]> {
  const { evaluate } = splitDocuments(await loadBrown())
  return inTurn([...Map.groupBy(evaluate, ({ genre }) => genre).values()])
}

/** Documents as a text: each is a page, and an empty line parts them in the stream. @throws InputError TEXT_EMPTY */
export function textOfDocuments(name: string, documents: readonly Document[]): PagedText {
  const pages = documents
    .filter(({ text }) => text.trim() !== '')
    .map((document): Page => ({
      ...document,
      stream: document.text,
      words: document.text.split(/\s+/).filter(Boolean).length,
      bytes: new TextEncoder().encode(document.text).length,
    }))
  expectText(name, pages)
  return { name, pages, stream: streamOf(pages) }
}

/** Refuses documents without any text. @throws InputError TEXT_EMPTY */
export function expectText(name: string, documents: readonly Pick<Document, 'text'>[]): void {
  if (documents.every(({ text }) => text.trim() === ''))
    throw new InputError('TEXT_EMPTY', `${name}: expected some text, got none`)
}

/** The first pages of a text; the stream then is theirs. */
export function firstPages(text: PagedText, count: number): PagedText {
  if (count >= text.pages.length) return text
  const pages = text.pages.slice(0, count)
  return { ...text, pages, stream: streamOf(pages) }
}

function streamOf(pages: readonly Page[]): string {
  return pages.map(({ stream }) => stream).join('\n\n')
}
