/**
 * Texts and vocabularies to draw from, and BPE by its definition.
 */
import fc from 'fast-check'
import type { Data } from '../../testing/seeded_data.ts'
import { mergesOf } from '../../io/piece_merges.ts'
import { createTokenizer, type Tokenizer } from '../../io/tokenizer.ts'
import {
  byteCharacters,
  byteTokens,
  optPrefix,
  SPACE_MARK,
  specialTokens,
  splitPatterns,
  type PatternName,
  type Spelling,
  type Vocabulary,
} from '../../io/vocabulary.ts'

/** What the laws of the tokenizer judge: a tokenizer, and the vocabulary it is said to have. */
export interface Tokenizing {
  readonly tokenizer: Tokenizer
  readonly vocabulary: Vocabulary
}

const SURROGATES = { first: 0xd800, count: 0x800 }

/** Any character of Unicode. `fc.string({ unit: 'binary' })` would take a second to list all of them when it is made. */
const anyCharacter = fc
  .nat({ max: 0x10ffff - SURROGATES.count })
  .map((n) => String.fromCodePoint(n < SURROGATES.first ? n : n + SURROGATES.count))

/** Whole characters of every kind: ASCII, of two, three and four bytes, joined ones, marks, white space. */
const characters = fc.oneof(
  fc.constantFrom(
    ...'aet ,.\n\t\r\u00a0\u2028\ufeff\u0085\u2581',
    '12',
    '٣½',
    "'LL",
    '<0x41>',
    'é',
    'ß',
    '中',
    '😀',
    '👩‍👩‍👧',
    'e\u0301',
    "'s",
    "'ll",
    ' the',
    '  ',
    'aeth',
    '<b>',
    '</s>',
    '<pad>',
  ),
  fc.array(anyCharacter, { minLength: 1, maxLength: 3, size: 'max' }).map((list) => list.join('')),
)

/** Well-formed texts of up to some thirty characters. */
export const texts: fc.Arbitrary<string> = fc
  .array(characters, { maxLength: 30, size: 'max' })
  .map((list) => list.join(''))

/** Characters that have a token in a byte-fallback vocabulary. */
const pieces = [...'aethslAE.,\n', SPACE_MARK, 'é', '中', '😀']

/** Tokens that some of them cut out of a text. */
const wholes = [
  SPACE_MARK.repeat(2),
  SPACE_MARK.repeat(3),
  '\n',
  '\n\n',
  'ae',
  'aeth',
  `,${SPACE_MARK}`,
  '<b>',
]

const patternNames = Object.keys(splitPatterns) as PatternName[]

/** A way to spell text; the patterns may be any, in any order. */
function makeSpelling(data: Data): Spelling {
  if (data.flag('isByteFallback', 0.3)) {
    const whole = data.flag('cutsOut', 0.5) ? wholes.filter((token) => data.flag(token, 0.6)) : []
    const space = data.oneOf('space', ['always', 'unlessThere', 'never'] as const)
    return { kind: 'byte_fallback', space, ...(whole.length > 0 && { whole }) }
  }
  const patterns = data.flag('isGpt2', 0.4)
    ? ['gpt-2' as const]
    : patternNames.filter((name) => data.flag(name, 0.4))
  return {
    kind: 'byte_level',
    composed: data.flag('composed', 0.2),
    patterns: patterns.length > 0 ? patterns : ['llama-bpe'],
    ignoreMerges: data.flag('ignoreMerges', 0.3),
  }
}

/** A vocabulary of the special tokens, the bytes, and some merges of whatever was there before them. */
function makeVocabulary(data: Data): Vocabulary {
  const spelling = makeSpelling(data)
  const isByteLevel = spelling.kind === 'byte_level'
  const first = isByteLevel ? byteCharacters : pieces
  const tokens = [...first]
  // Merges of letters that texts have, more often than not: of others nothing would be seen.
  const common = isByteLevel
    ? [...'aethslAE', ...[0x20, 0xc3, 0xa9, 0xf0, 0x9f].map((byte) => byteCharacters[byte])]
    : pieces
  const merges: [string, string][] = []
  for (let n = data.whole('mergesTried', 0, 60); n > 0; n--) {
    const latest = tokens.slice(first.length)
    const pick = (): string => data.pick(data.chance(0.7) ? [...common, ...latest] : tokens)
    const [left, right] = [pick(), pick()]
    if (tokens.includes(left + right)) continue
    merges.push([left, right])
    tokens.push(left + right)
  }
  const shown = merges.map((pair) => pair.join(' '))
  data.show('merges', shown)
  const whole = isByteLevel ? [] : (spelling.whole ?? [])
  const all = new Set([...specialTokens, ...(isByteLevel ? [] : byteTokens), ...tokens, ...whole])
  const ids = new Map([...all].map((token, id) => [token, id]))
  const special = new Set(specialTokens)
  return { ids, merges, special, spelling, prefix: optPrefix(ids), suffix: [] }
}

/** A tokenizer of such a vocabulary. */
export function makeTokenizing(data: Data): Tokenizing {
  const vocabulary = makeVocabulary(data)
  return { tokenizer: createTokenizer(vocabulary), vocabulary }
}

/** The words of each pattern, from the definitions of the models that have it. */
const plainPatterns: Readonly<Record<PatternName, RegExp>> = {
  digit: /\p{N}|\P{N}+/gu,
  digits: /\p{N}+|\P{N}+/gu,
  'gpt-2':
    /'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu,
  'llama-bpe':
    /'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\p{White_Space}\p{L}\p{N}]+[\r\n]*|\p{White_Space}*[\r\n]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu,
  qwen2:
    /'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\p{White_Space}\p{L}\p{N}]+[\r\n]*|\p{White_Space}*[\r\n]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu,
}

/** BPE by its definition: of all adjacent pairs, the one with the lowest rank is joined, the leftmost first. */
export function plainEncode(text: string, vocabulary: Vocabulary): number[] {
  const { ids, spelling } = vocabulary
  const ranks = new Map(mergesOf(vocabulary).map(([left, right], rank) => [`${left} ${right}`, rank]))
  const join = (parts: string[]): string[] => {
    for (;;) {
      const rank = parts.slice(1).map((right, i) => ranks.get(`${parts[i]} ${right}`) ?? Infinity)
      const best = Math.min(...rank)
      if (best === Infinity) return parts
      const at = rank.indexOf(best)
      parts.splice(at, 2, parts[at] + parts[at + 1])
    }
  }
  const encoder = new TextEncoder()
  const tokens = (): string[] => {
    if (spelling.kind === 'byte_fallback') {
      const isPut =
        text !== '' &&
        (spelling.space === 'always' || (spelling.space === 'unlessThere' && !/^[ \u2581]/.test(text)))
      const marked = (isPut ? ` ${text}` : text).replaceAll(' ', SPACE_MARK)
      const { whole = [] } = spelling
      // The longest is the first of those that begin at a place; split gives what it cuts out as every other part.
      const longestFirst = whole.toSorted((a, b) => b.length - a.length).join('|')
      const parts = whole.length > 0 ? marked.split(new RegExp(`(${longestFirst})`, 'u')) : [marked]
      return parts
        .flatMap((part, i) => (i % 2 === 1 ? [part] : join([...part])))
        .flatMap((part) =>
          ids.has(part) ? [part] : [...encoder.encode(part)].map((byte) => byteTokens[byte]),
        )
    }
    let words = text === '' ? [] : [spelling.composed ? text.normalize('NFC') : text]
    for (const name of spelling.patterns)
      words = words.flatMap((word) => word.match(plainPatterns[name]) ?? [])
    return words
      .map((word) => [...encoder.encode(word)].map((byte) => byteCharacters[byte]))
      .flatMap((parts) => (spelling.ignoreMerges && ids.has(parts.join('')) ? [parts.join('')] : join(parts)))
  }
  return tokens().map((token) => ids.get(token) as number)
}

/** What is left of a text when it was encoded and decoded: a normal form, or spaces in place of their marks. */
export function plainText(text: string, { spelling }: Vocabulary): string {
  if (spelling.kind === 'byte_level') return spelling.composed ? text.normalize('NFC') : text
  const spaces = text.replaceAll(SPACE_MARK, ' ')
  return spelling.space === 'unlessThere' ? spaces.replace(/^ /, '') : spaces
}

/** The bytes of ids, one token after the other; an id without a token is that of `<unk>`, or U+FFFD. A space put first is left out. */
export function plainBytes(
  ids: readonly number[],
  skipSpecial: boolean,
  { ids: known, special, spelling }: Vocabulary,
): Uint8Array {
  const tokens = new Map([...known].map(([token, id]) => [id, token]))
  const encoder = new TextEncoder()
  const bytesOf = (token: string): number[] => {
    if (spelling.kind === 'byte_level') return [...token].map((char) => byteCharacters.indexOf(char))
    const byte = byteTokens.indexOf(token)
    return byte === -1 ? [...encoder.encode(token.replaceAll(SPACE_MARK, ' '))] : [byte]
  }
  const bytes = ids
    .map((id) => tokens.get(id) ?? (known.has('<unk>') ? '<unk>' : null))
    .filter((token) => !skipSpecial || token === null || !special.has(token))
    .flatMap((token) => (token === null ? [...encoder.encode('\ufffd')] : bytesOf(token)))
  const isPut = spelling.kind === 'byte_fallback' && spelling.space !== 'never' && bytes[0] === 0x20
  return Uint8Array.from(isPut ? bytes.slice(1) : bytes)
}
