/**
 * BPE tokenizers, byte-level and with byte fallback (`vocabulary.ts`).
 *
 * `@huggingface/tokenizers` cuts text by patterns and merges pairs. What leads there and back is our own: the library would
 * find special tokens in a text, and streamed text must never contain half a character.
 *
 * Invariants: decode(encode(text)) = text for every well-formed text, with two exceptions: a byte-fallback vocabulary cannot
 * tell the mark for the space from a space, and a tokenizer that normalises gives the normal form back. A text with a byte
 * that has no token is refused. Text that spells a special token is never encoded as that token. Time is O(n log n), also
 * for one repeated character.
 */
import { Tokenizer as Library } from '@huggingface/tokenizers'
import { joinPath } from '../platform/platform.ts'
import { isThere, readWhole } from './files.ts'
import { mergePieces, mergesOf, ranksOf } from './piece_merges.ts'
import { refusal } from './refusal.ts'
import {
  byteCharacters,
  bytesOfToken,
  byteTokens,
  parseVocabularyFiles,
  SPACE_MARK,
  specialTokens,
  splitPatterns,
  type PatternName,
  type Spelling,
  type Vocabulary,
} from './vocabulary.ts'

/** Options of encoding. */
export interface EncodeOptions {
  /** Whether the tokens that a model expects around a text are added, for OPT `</s>` before it; default true. */
  readonly prefix?: boolean
  /**
   * Spelled special tokens become their ids: for text of the program's own, such as a rendered chat, never
   * for that of a user. The mark is a character that keeps what it is in from being a special token; it is
   * dropped. Default: none does.
   */
  readonly special?: { readonly mark: string }
}

/** Options of decoding. */
export interface DecodeOptions {
  /** Whether special tokens are omitted; default false. */
  readonly skipSpecial?: boolean
  /** Whether the ids go on from others, so that a space which begins them is part of the text; default false. */
  readonly continues?: boolean
}

/** Decodes tokens one by one, for streaming. */
export interface TextStream {
  /** The characters that a token completes; may be empty. @param id of the token */
  push(id: number): string
  /** The rest: a replacement character if the tokens end inside a character. */
  end(): string
}

/** Encodes text and decodes ids. */
export interface Tokenizer {
  /** The largest id plus one. A model may have more rows. */
  readonly vocabularySize: number
  /** The ids of `<s>`, `<pad>`, `</s>` and `<unk>`; null for those that the vocabulary lacks. */
  readonly special: Readonly<Record<'beginning' | 'padding' | 'end' | 'unknown', number | null>>
  /**
   * How special tokens are spelled, the longest first, without those of spaces only: these count as text
   * everywhere.
   */
  readonly specialSpellings: readonly string[]
  /**
   * The id of a token by its spelling; null if there is none.
   * @param spelling as the vocabulary has it, such as `</s>`
   */
  idOf(spelling: string): number | null
  /** What it was made of. */
  readonly vocabulary: Vocabulary
  /** The ids that a model expects before a text: `</s>` of OPT, none of SmolLM2 and Qwen2. */
  readonly prefixIds: readonly number[]
  /**
   * @param text is encoded as it is: special tokens in it only if an option says so
   * @throws InputError TEXT_SURROGATE for half a surrogate pair, TEXT_BYTE for a byte that the vocabulary lacks, TEXT_MARKS for
   *   more combining marks in a row than normal forms are made of
   */
  encode(text: string, options?: EncodeOptions): number[]
  /**
   * Ids without a token count as `<unk>`, or as U+FFFD if there is none.
   * @param ids of tokens, in order
   * @throws InputError TOKEN_ID for anything but an integer from 0 on.
   */
  decode(ids: Iterable<number>, options?: DecodeOptions): string
  /** A decoder of a stream: its pieces joined equal `decode` of all tokens. */
  stream(options?: DecodeOptions): TextStream
  /**
   * The bytes of a token, special ones as they are spelled; one without a token as `decode` says.
   * @param id of a token
   * @throws as `decode`
   */
  bytesOf(id: number): Uint8Array
}

/** A tokenizer from a checked vocabulary. */
export function createTokenizer(vocabulary: Vocabulary): Tokenizer {
  return new BpeTokenizer(vocabulary)
}

/** The files of a tokenizer. */
export const tokenizerFiles: readonly string[] = ['vocab.json', 'merges.txt', 'tokenizer.json']

/**
 * The tokenizer of a model's folder: `tokenizer.json`, else `vocab.json` with `merges.txt`, which are read as OPT's, else null.
 * @throws InputError TOKENIZER_FILES if only one of the pair is there, and as `vocabulary.ts` and `tokenizer_json.ts` say.
 */
export async function openTokenizer(folder: string): Promise<Tokenizer | null> {
  const paths = tokenizerFiles.map((name) => joinPath(folder, name))
  const [vocab, merges, whole] = paths
  const [hasVocab, hasMerges, hasWhole] = await Promise.all(paths.map(isThere))
  if (hasWhole) {
    // Its schemas are loaded where they are needed.
    const { parseTokenizerJson } = await import('./tokenizer_json.ts')
    return createTokenizer(parseTokenizerJson(await readWhole(whole)))
  }
  if (hasVocab && hasMerges) {
    return createTokenizer(parseVocabularyFiles(await readWhole(vocab), await readWhole(merges)))
  }
  if (hasVocab || hasMerges) {
    const got = `only ${hasVocab ? 'the first' : 'the second'}`
    throw refusal('TOKENIZER_FILES', folder, 'both vocab.json and merges.txt', got)
  }
  return null
}

/** How many words are remembered with their ids, and of what length. */
const [MAX_WORDS, MAX_WORD_LENGTH] = [20_000, 64]

class BpeTokenizer implements Tokenizer {
  readonly vocabularySize: number
  readonly special: Tokenizer['special']
  readonly specialSpellings: readonly string[]
  readonly prefixIds: readonly number[]
  readonly vocabulary: Vocabulary
  private readonly wordsOf: Words
  private readonly merge: (word: string) => readonly string[]
  private readonly known = new Map<string, readonly number[]>() // ids of words
  private readonly tokens: string[] = [] // by id; holes where an id has no token
  private readonly bytes: Uint8Array[] = [] // by id, of those that were asked for
  private readonly specialIds = new Set<number>()
  private readonly specialAt: LongestAt
  private readonly missing: readonly string[] // characters of bytes without a token
  private readonly whole: ReadonlySet<string> // tokens that are words by themselves

  constructor(vocabulary: Vocabulary) {
    const { ids, special, spelling } = vocabulary
    for (const [token, id] of ids) this.tokens[id] = token
    for (const token of special) {
      const id = ids.get(token)
      if (id !== undefined) this.specialIds.add(id)
    }
    this.vocabularySize = this.tokens.length
    const [beginning, padding, end, unknown] = specialTokens.map((token) => ids.get(token) ?? null)
    this.special = { beginning, padding, end, unknown }
    this.specialSpellings = [...special]
      .filter((token) => ids.has(token) && token.trim() !== '')
      .toSorted((a, b) => b.length - a.length || (a < b ? -1 : 1))
    this.specialAt = longestOf(this.specialSpellings)
    this.prefixIds = vocabulary.prefix
    this.vocabulary = vocabulary
    this.missing =
      spelling.kind === 'byte_level' ? byteCharacters.filter((character) => !ids.has(character)) : []
    this.whole = new Set(spelling.kind === 'byte_level' ? [] : spelling.whole)
    if (spelling.kind === 'byte_level') {
      const { model, pre_tokenizer: splitter } = makeLibrary(vocabulary, spelling)
      // Its memory of words makes a frequent word slower with each use.
      model.max_length_to_cache = 0
      this.merge = (word) => model.encode([word])
      this.wordsOf = byteLevelWords(spelling, splitter)
    } else {
      const rankOf = ranksOf(vocabulary)
      // Half of a character is none, and a special token is no text.
      const isPiece = (piece: string): boolean => ids.has(piece) && !special.has(piece)
      this.merge = (word) =>
        mergePieces(word, rankOf).flatMap((piece) => (isPiece(piece) ? [piece] : bytesAsTokens(piece)))
      this.wordsOf = pieceWords(vocabulary, spelling)
    }
  }

  idOf(spelling: string): number | null {
    return this.vocabulary.ids.get(spelling) ?? null
  }

  encode(text: string, { prefix = true, special }: EncodeOptions = {}): number[] {
    if (!text.isWellFormed()) {
      const at = text.search(/\p{Surrogate}/u)
      throw refusal('TEXT_SURROGATE', 'text', 'well-formed Unicode', `half a surrogate pair at ${at}`)
    }
    const ids = prefix ? [...this.prefixIds] : []
    for (const [i, part] of (special ? this.cut(text, special.mark) : [text]).entries()) {
      if (typeof part === 'number') ids.push(part)
      else if (part !== '')
        for (const word of this.wordsOf(part, i === 0)) for (const id of this.idsOf(word)) ids.push(id)
    }
    if (prefix) for (const id of this.vocabulary.suffix) ids.push(id)
    return ids
  }

  /** A text as ids of spelled special tokens, and the texts between them without marks. */
  private cut(text: string, mark: string): (number | string)[] {
    const parts: (number | string)[] = []
    let from = 0
    for (let at = 0; at < text.length; at++) {
      const spelling = this.specialAt(text, at, mark + mark)
      if (spelling === null) continue
      parts.push(text.slice(from, at).replaceAll(mark, ''), this.idOf(spelling) as number)
      from = at + spelling.length
      at = from - 1
    }
    parts.push(text.slice(from).replaceAll(mark, ''))
    return parts
  }

  private idsOf(word: string): readonly number[] {
    const known = this.known.get(word)
    if (known) return known
    if (this.whole.has(word)) return [this.idOf(word) as number]
    const missing = this.missing.find((character) => word.includes(character))
    if (missing !== undefined) {
      const byte = byteCharacters.indexOf(missing)
      throw refusal('TEXT_BYTE', 'text', 'bytes that have a token in the vocabulary', byteTokens[byte])
    }
    const ids = this.merge(word).map((token) => this.vocabulary.ids.get(token) as number)
    if (this.known.size === MAX_WORDS) this.known.clear()
    if (word.length <= MAX_WORD_LENGTH) this.known.set(word, ids)
    return ids
  }

  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const stream = this.stream(options)
    const pieces: string[] = []
    for (const id of ids) pieces.push(stream.push(id))
    pieces.push(stream.end())
    return pieces.join('')
  }

  stream({ skipSpecial = false, continues = false }: DecodeOptions = {}): TextStream {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    const { spelling } = this.vocabulary
    const putsSpace = spelling.kind === 'byte_fallback' && spelling.space !== 'never'
    let isFirst = true
    return {
      push: (id) => {
        const known = this.knownId(id)
        if (known !== null && skipSpecial && this.specialIds.has(known)) return ''
        const bytes = this.bytesOf(id)
        const hasOwnSpace = !isFirst || continues || !putsSpace || bytes[0] !== 0x20
        if (bytes.length > 0) isFirst = false
        return decoder.decode(hasOwnSpace ? bytes : bytes.subarray(1), { stream: true })
      },
      end: () => {
        isFirst = true
        return decoder.decode()
      },
    }
  }

  bytesOf(id: number): Uint8Array {
    const known = this.knownId(id)
    return known === null ? utf8('\ufffd') : (this.bytes[known] ??= this.spell(known))
  }

  private spell(id: number): Uint8Array {
    const token = this.tokens[id]
    if (this.specialIds.has(id)) return utf8(token)
    const { kind } = this.vocabulary.spelling
    return (kind === 'byte_level' ? bytesOfToken(token) : bytesOfPiece(token)) ?? utf8(token)
  }

  private knownId(id: number): number | null {
    if (!Number.isInteger(id) || id < 0) throw refusal('TOKEN_ID', 'token', 'an integer from 0 on', `${id}`)
    return this.tokens[id] === undefined ? this.special.unknown : id
  }
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

const byteOfToken: ReadonlyMap<string, number> = new Map(byteTokens.map((token, byte) => [token, byte]))

/** The tokens of the bytes of a text. */
function bytesAsTokens(text: string): string[] {
  return Array.from(utf8(text), (byte) => byteTokens[byte])
}

/** The bytes of a token of a byte-fallback vocabulary. */
function bytesOfPiece(token: string): Uint8Array {
  const byte = byteOfToken.get(token)
  return byte === undefined ? utf8(token.replaceAll(SPACE_MARK, ' ')) : Uint8Array.of(byte)
}

/** The longest of some spellings at a place of a text, which the marks do not follow if there are any; null if there is none. */
type LongestAt = (text: string, at: number, marks?: string) => string | null

function longestOf(spellings: readonly string[]): LongestAt {
  const known = new Set(spellings)
  /** Of those that begin with a character, the longest first. */
  const lengths = new Map(
    [...Map.groupBy(known, (spelling) => spelling[0])].map(([first, own]) => [
      first,
      [...new Set(own.map(({ length }) => length))].toSorted((a, b) => b - a),
    ]),
  )
  return (text, at, marks) => {
    for (const length of lengths.get(text[at]) ?? []) {
      const spelling = text.slice(at, at + length)
      if (known.has(spelling) && (marks === undefined || !text.startsWith(marks, at + length)))
        return spelling
    }
    return null
  }
}

/** Cuts text into words. @param isFirst whether it begins the text, and is no part after a special token */
type Words = (text: string, isFirst?: boolean) => readonly string[]

/** Cuts text by patterns and spells each word by byte characters. */
function byteLevelWords({ composed }: Spelling & { kind: 'byte_level' }, splitter: Words): Words {
  return (text) => splitter(composed ? compose(text) : text)
}

/** More combining marks in a row than any language has (Unicode Standard Annex 15, the stream-safe text format). */
const MARKS = 30
const manyMarks = new RegExp(`\\p{M}{${MARKS + 1}}`, 'u')

/** Unicode's normal form C, whose time is quadratic in the marks in a row. @throws InputError TEXT_MARKS */
function compose(text: string): string {
  if (!manyMarks.test(text)) return text.normalize('NFC')
  throw refusal('TEXT_MARKS', 'text', `at most ${MARKS} combining marks in a row`, 'more')
}

/**
 * Marks the spaces of a text, cuts out the tokens that are words by themselves, and cuts the rest before each run of marks, if no
 * merge crosses such a place: then the ids are those of the text as one word.
 */
function pieceWords(
  { merges }: Vocabulary,
  { space, onlyFirst = false, whole = [] }: Spelling & { kind: 'byte_fallback' },
): Words {
  const cut = /(?<=[^\u2581])(?=\u2581)/u
  const crosses =
    'length' in merges
      ? // Most are told by looking for a mark that is not at the begin.
        merges.some(
          ([left, right]) =>
            (right.includes(SPACE_MARK) || left.includes(SPACE_MARK, 1)) && cut.test(left + right),
        )
      : [...merges.keys()].some((token) => cut.test(token))
  const wordsIn = (rest: string): readonly string[] => (crosses ? [rest] : rest.split(cut))
  const wholeAt = longestOf(whole)
  const cutOut = (text: string): readonly string[] => {
    const words: string[] = []
    let from = 0
    for (let at = 0; at < text.length; at++) {
      const token = wholeAt(text, at)
      if (token === null) continue
      if (at > from) words.push(...wordsIn(text.slice(from, at)))
      words.push(token)
      from = at + token.length
      at = from - 1
    }
    if (from < text.length) words.push(...wordsIn(text.slice(from)))
    return words
  }
  return (text, isFirst = true) => {
    const marked = text.replaceAll(' ', SPACE_MARK)
    const puts = isFirst || !onlyFirst
    const isPut = puts && (space === 'always' || (space === 'unlessThere' && !marked.startsWith(SPACE_MARK)))
    const all = isPut ? SPACE_MARK + marked : marked
    return whole.length > 0 ? cutOut(all) : wordsIn(all)
  }
}

/** The parts of the library that are used here. */
interface LibraryParts {
  readonly pre_tokenizer: Words
  readonly model: { max_length_to_cache: number; encode(words: readonly string[]): string[] }
}

/** The patterns and merges in the library. Special tokens are left out, so that no word is one. */
function makeLibrary(vocabulary: Vocabulary, spelling: Spelling & { kind: 'byte_level' }): LibraryParts {
  const { ids, special } = vocabulary
  const vocab: Record<string, number> = Object.create(null)
  for (const [token, id] of ids) if (!special.has(token)) vocab[token] = id
  const split = (name: PatternName): object => ({
    type: 'Split',
    pattern: { Regex: splitPatterns[name] },
    behavior: 'Isolated',
    invert: false,
  })
  const description = {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...spelling.patterns.map(split),
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      unk_token: null,
      vocab,
      merges: mergesOf(vocabulary),
      byte_fallback: false,
      ignore_merges: spelling.ignoreMerges,
    },
  }
  return new Library(description, {}) as unknown as LibraryParts
}
