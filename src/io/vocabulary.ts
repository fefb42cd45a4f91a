/**
 * The vocabulary of a BPE tokenizer, and the files `vocab.json` and `merges.txt` of OPT. `tokenizer_json.ts` reads the other form.
 *
 * Tokens spell text in one of two ways. A byte-level vocabulary (GPT-2, OPT, Llama 3, Qwen2, SmolLM2) represents every byte by
 * one visible character. A byte-fallback vocabulary (Llama 2, Mistral, Gemma; made by SentencePiece) consists of characters, with a
 * mark for the space; a character without a token becomes the tokens of its bytes, which must all be there. Some byte-level
 * vocabularies lack bytes that their training data lacked, as SmolLM2's does; a text that has one is refused.
 *
 * Invariants, checked here: ids are unique; the token of a byte, or of a space, is no special token and none that is cut out of a
 * text; each merge joins two tokens into a third one, none of which is special; no merge is repeated. So text never becomes a
 * special token.
 */
import { decodeText, describeJson, objectOf, parseJson, refuseJson, type JsonValue } from './json.ts'
import { quote, refusal } from './refusal.ts'
import type { ScoredPieces } from './piece_merges.ts'

/** A vocabulary. */
export interface Vocabulary {
  /** The id of every token, as it is spelled. */
  readonly ids: ReadonlyMap<string, number>
  /** The merges, by priority; or pieces with scores, from which the merges follow (`piece_merges.ts`). */
  readonly merges: readonly (readonly [string, string])[] | ScoredPieces
  /** Tokens that do not stand for text. */
  readonly special: ReadonlySet<string>
  readonly spelling: Spelling
  /** The special ids that a model expects before a text. */
  readonly prefix: readonly number[]
  /** Those after it. */
  readonly suffix: readonly number[]
}

/** How tokens spell text, and how text is cut into words. Pairs are merged inside a word. */
export type Spelling =
  | {
      readonly kind: 'byte_level'
      /** Whether text is brought to Unicode's normal form C first. */
      readonly composed: boolean
      /** Each pattern cuts what the one before it left. */
      readonly patterns: readonly PatternName[]
      /** Whether a word that is a token becomes that token, whatever the merges make of it. */
      readonly ignoreMerges: boolean
    }
  | {
      readonly kind: 'byte_fallback'
      /** When a space is put before a text: `unlessThere` for a text that does not begin with one. */
      readonly space: 'always' | 'unlessThere' | 'never'
      /** Whether none is put before a text that follows a special token; default: one is. */
      readonly onlyFirst?: boolean
      /**
       * Tokens that are cut out of a text before pairs are merged, at each place the longest; spaces are marked then. Gemma has
       * runs of spaces and of line ends. Default: none are.
       */
      readonly whole?: readonly string[]
    }

/** The patterns that cut text into words, in the syntax of `tokenizer.json`. Each takes linear time and covers every text. */
export const splitPatterns = {
  digit: '\\p{N}',
  digits: '\\p{N}+',
  'gpt-2': "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  'llama-bpe':
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  qwen2:
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
} as const
export type PatternName = keyof typeof splitPatterns

/** The spelling of GPT-2 and OPT. */
const GPT2_SPELLING: Spelling = {
  kind: 'byte_level',
  composed: false,
  patterns: ['gpt-2'],
  ignoreMerges: false,
}

/** The special tokens of OPT: beginning (unused by OPT), padding, end of text, unknown. */
export const specialTokens: readonly string[] = ['<s>', '<pad>', '</s>', '<unk>']

/** What OPT expects before a text: its end token. Empty if a special token of OPT is missing. */
export function optPrefix(ids: ReadonlyMap<string, number>): number[] {
  return specialTokens.every((token) => ids.has(token)) ? [ids.get('</s>') as number] : []
}

/** The mark for a space in a byte-fallback vocabulary. */
export const SPACE_MARK = '\u2581'

/** The limit of ids and of merges; the largest vocabularies in use have a quarter of it. */
export const MAX_TOKENS = 1_000_000

/** The character of each byte: printable ones represent themselves, the others are U+0100 and up, in order. */
export const byteCharacters: readonly string[] = makeByteCharacters()

function makeByteCharacters(): string[] {
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => {
    const itself = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad)
    return String.fromCharCode(itself ? byte : next++)
  })
}

const byteOfCharacter: ReadonlyMap<string, number> = new Map(byteCharacters.map((char, byte) => [char, byte]))

/** The bytes of a token; null if a character of it represents no byte. */
export function bytesOfToken(token: string): Uint8Array | null {
  const bytes = new Uint8Array(token.length)
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfCharacter.get(token[i])
    if (byte === undefined) return null
    bytes[i] = byte
  }
  return bytes
}

/** The token of each byte in a byte-fallback vocabulary, `<0x00>` to `<0xFF>`. */
export const byteTokens: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
)

/**
 * Reads `vocab.json` and `merges.txt` of OPT.
 * @throws InputError JSON_*, TOKENIZER_VOCAB, TOKENIZER_MERGES, TOKENIZER_LIMIT.
 */
export function parseVocabularyFiles(vocab: Uint8Array, merges: Uint8Array): Vocabulary {
  const json = parseJson(vocab, 'vocab.json', { maxDepth: 2, numbers: 'integers' })
  const ids = readIds(json, 'vocab.json')
  requireTokens(ids, [...specialTokens, ...byteCharacters])
  const vocabulary: Vocabulary = {
    ids,
    merges: readMergeLines(decodeText(merges, 'merges.txt')),
    special: new Set(specialTokens),
    spelling: GPT2_SPELLING,
    prefix: optPrefix(ids),
    suffix: [],
  }
  return checkVocabulary(vocabulary, 'merges.txt')
}

/** The ids of an object of tokens. @param name of the object, for errors @throws InputError TOKENIZER_VOCAB */
export function readIds(json: JsonValue | undefined, name: string): Map<string, number> {
  const ids = new Map<string, number>()
  for (const [token, value] of objectOf(json, 'TOKENIZER_VOCAB', name)) {
    const id = checkId(value, () => `${name} ${quote(token)}`)
    ids.set(token, id)
  }
  return ids
}

/**
 * An id.
 * @param subject names the token in an error; a function, so that valid ids build no text
 * @throws InputError TOKENIZER_VOCAB
 */
export function checkId(id: JsonValue | undefined, subject: () => string): number {
  // Adding 0 makes 0 of -0.
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < MAX_TOKENS) return id + 0
  throw refuseJson('TOKENIZER_VOCAB', subject(), `an id from 0 to ${MAX_TOKENS - 1}`, id)
}

function readMergeLines(text: string): (readonly [string, string])[] {
  const lines = text.split('\n', MAX_TOKENS + 3)
  if (lines.at(-1) === '') lines.pop()
  if (lines.length > MAX_TOKENS + 1)
    throw refusal('TOKENIZER_LIMIT', 'merges.txt', `at most ${MAX_TOKENS} merges`, 'more')
  const merges: (readonly [string, string])[] = []
  for (const [i, line] of lines.entries()) {
    if (i === 0 && line.startsWith('#version')) continue
    merges.push(readPair(line.replace(/\r$/, '').split(' ', 4), `merges.txt line ${i + 1}`))
  }
  return merges
}

/** The two tokens of a merge. @throws InputError TOKENIZER_MERGES */
export function readPair(parts: readonly JsonValue[], subject: string): readonly [string, string] {
  const [left, right] = parts
  if (
    parts.length === 2 &&
    typeof left === 'string' &&
    typeof right === 'string' &&
    left !== '' &&
    right !== ''
  ) {
    return [left, right]
  }
  const got = parts.slice(0, 4).map((part) => (typeof part === 'string' ? quote(part) : describeJson(part)))
  throw refusal('TOKENIZER_MERGES', subject, 'two tokens', got.join(' ') || 'nothing')
}

/**
 * Checks the invariants of a vocabulary.
 * @param name of the list of merges, for errors
 * @throws InputError TOKENIZER_VOCAB, TOKENIZER_MERGES, TOKENIZER_LIMIT
 */
export function checkVocabulary(vocabulary: Vocabulary, name: string): Vocabulary {
  const { ids, merges, special, spelling } = vocabulary
  if ('length' in merges && merges.length > MAX_TOKENS) {
    throw refusal('TOKENIZER_LIMIT', name, `at most ${MAX_TOKENS} merges`, `${merges.length}`)
  }
  const isByteLevel = spelling.kind === 'byte_level'
  const tokens = new Map<number, string>()
  for (const [token, id] of ids) {
    const other = tokens.get(id)
    if (other !== undefined) {
      const got = `${id}, the id of ${quote(other)} too`
      throw refusal('TOKENIZER_VOCAB', `token ${quote(token)}`, 'a unique id', got)
    }
    tokens.set(id, token)
    if (isByteLevel && !special.has(token) && bytesOfToken(token) === null) {
      throw refusal('TOKENIZER_VOCAB', `token ${quote(token)}`, 'characters of a byte-level vocabulary')
    }
  }
  const plain = isByteLevel ? byteCharacters : [SPACE_MARK, ...byteTokens]
  if (!isByteLevel) requireTokens(ids, plain)
  const whole = new Set(isByteLevel ? [] : spelling.whole)
  for (const token of plain)
    if (special.has(token) || whole.has(token))
      throw refusal('TOKENIZER_VOCAB', `token ${quote(token)}`, 'no special token')
  // A merge into the token of a byte would read "<0x41>" in a text as "A".
  if ('length' in merges)
    checkMerges(ids, merges, isByteLevel ? special : new Set([...special, ...byteTokens]), name)
  return vocabulary
}

function requireTokens(ids: ReadonlyMap<string, number>, tokens: readonly string[]): void {
  for (const token of tokens)
    if (!ids.has(token))
      throw refusal('TOKENIZER_VOCAB', 'vocabulary', `token ${quote(token)}`, 'no such token')
}

function checkMerges(
  ids: ReadonlyMap<string, number>,
  merges: readonly (readonly [string, string])[],
  special: ReadonlySet<string>,
  name: string,
): void {
  const seen = new Set<number>()
  for (const [i, [left, right]] of merges.entries()) {
    const subject = (): string => `${name} merge ${i + 1}`
    for (const token of [left, right, left + right]) {
      if (!ids.has(token))
        throw refusal('TOKENIZER_MERGES', subject(), 'tokens of the vocabulary', quote(token))
      // Otherwise plain text could be encoded as the end token.
      if (special.has(token)) throw refusal('TOKENIZER_MERGES', subject(), 'no special token', quote(token))
    }
    // A number is found faster than a text of both.
    const pair = (ids.get(left) as number) * MAX_TOKENS + (ids.get(right) as number)
    if (seen.has(pair))
      throw refusal('TOKENIZER_MERGES', subject(), 'a pair once', `${quote(`${left} ${right}`)} twice`)
    seen.add(pair)
  }
}
