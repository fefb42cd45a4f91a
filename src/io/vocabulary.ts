/**
 * The vocabulary of a byte-level BPE tokenizer in the GPT-2/OPT format: `vocab.json` and `merges.txt`, or
 * `tokenizer.json`, which contains both.
 *
 * A byte-level vocabulary represents every byte by one visible character. These 256 characters are tokens, so every text can be
 * encoded. Invariants, checked here: ids are unique; all bytes and the four special tokens of OPT exist; each merge joins two tokens
 * into a third one; no merge is repeated. The only pre-tokenisation is GPT-2's; a `tokenizer.json` with another one is refused.
 */
import { decodeText, describeJson, parseJson, type JsonMap, type JsonValue } from './json.ts'
import { quote, refusal } from './refusal.ts'

/** A vocabulary. */
export interface Vocabulary {
  /** The id of every token, in byte-level spelling. */
  readonly ids: ReadonlyMap<string, number>
  /** The merges, by priority. */
  readonly merges: readonly (readonly [string, string])[]
  /** Tokens that do not stand for text: at least `specialTokens`. */
  readonly special: ReadonlySet<string>
}

/** The special tokens of OPT: beginning (unused by OPT), padding, end of text, unknown. */
export const specialTokens: readonly string[] = ['<s>', '<pad>', '</s>', '<unk>']

/** The limit of ids; the largest vocabularies in use have a quarter of it. */
const MAX_TOKENS = 1_000_000

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

/**
 * Reads `vocab.json` and `merges.txt`.
 * @throws InputError JSON_*, TOKENIZER_VOCAB, TOKENIZER_MERGES, TOKENIZER_LIMIT.
 */
export function parseVocabularyFiles(vocab: Uint8Array, merges: Uint8Array): Vocabulary {
  const json = parseJson(vocab, 'vocab.json', { maxDepth: 2, numbers: 'integers' })
  const ids = readIds(json, 'vocab.json')
  return checkVocabulary(
    ids,
    readMergeLines(decodeText(merges, 'merges.txt')),
    new Set(specialTokens),
    'merges.txt',
  )
}

function readIds(json: JsonValue | undefined, name: string): Map<string, number> {
  if (!(json instanceof Map)) throw refusal('TOKENIZER_VOCAB', name, 'an object', describeJson(json))
  const ids = new Map<string, number>()
  for (const [token, id] of json)
    ids.set(
      token,
      checkId(id, () => `${name} ${quote(token)}`),
    )
  return ids
}

/** @param subject names the token in an error; a function, so that valid ids build no text */
function checkId(id: JsonValue | undefined, subject: () => string): number {
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < MAX_TOKENS) return id
  throw refusal('TOKENIZER_VOCAB', subject(), `an id from 0 to ${MAX_TOKENS - 1}`, describeJson(id))
}

function readMergeLines(text: string): (readonly [string, string])[] {
  const lines = text.split('\n', MAX_TOKENS + 3)
  if (lines.at(-1) === '') lines.pop()
  if (lines.length > MAX_TOKENS + 1)
    throw refusal('TOKENIZER_LIMIT', 'merges.txt', `at most ${MAX_TOKENS} merges`, 'more')
  const merges: (readonly [string, string])[] = []
  for (const [i, line] of lines.entries()) {
    if (i === 0 && line.startsWith('#version')) continue
    merges.push(readPair(line.replace(/\r$/, '').split(' '), `merges.txt line ${i + 1}`))
  }
  return merges
}

function readPair(parts: readonly JsonValue[], subject: string): readonly [string, string] {
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

function checkVocabulary(
  ids: Map<string, number>,
  merges: (readonly [string, string])[],
  special: ReadonlySet<string>,
  name: string,
): Vocabulary {
  if (merges.length > MAX_TOKENS) {
    throw refusal('TOKENIZER_LIMIT', name, `at most ${MAX_TOKENS} merges`, `${merges.length}`)
  }
  const tokens = new Map<number, string>()
  for (const [token, id] of ids) {
    const other = tokens.get(id)
    if (other !== undefined) {
      throw refusal(
        'TOKENIZER_VOCAB',
        `token ${quote(token)}`,
        'a unique id',
        `${id}, the id of ${quote(other)} too`,
      )
    }
    tokens.set(id, token)
    if (!special.has(token) && bytesOfToken(token) === null) {
      throw refusal('TOKENIZER_VOCAB', `token ${quote(token)}`, 'characters of a byte-level vocabulary')
    }
  }
  for (const needed of [...specialTokens, ...byteCharacters]) {
    if (!ids.has(needed))
      throw refusal('TOKENIZER_VOCAB', 'vocabulary', `token ${quote(needed)}`, 'no such token')
  }
  checkMerges(ids, merges, special, name)
  return { ids, merges, special }
}

function checkMerges(
  ids: ReadonlyMap<string, number>,
  merges: (readonly [string, string])[],
  special: ReadonlySet<string>,
  name: string,
): void {
  const seen = new Set<string>()
  for (const [i, [left, right]] of merges.entries()) {
    const subject = (): string => `${name} merge ${i + 1}`
    for (const token of [left, right, left + right]) {
      if (!ids.has(token))
        throw refusal('TOKENIZER_MERGES', subject(), 'tokens of the vocabulary', quote(token))
      // Otherwise plain text could be encoded as the end token.
      if (special.has(token)) throw refusal('TOKENIZER_MERGES', subject(), 'no special token', quote(token))
    }
    const pair = `${left} ${right}`
    if (seen.has(pair)) throw refusal('TOKENIZER_MERGES', subject(), 'a pair once', `${quote(pair)} twice`)
    seen.add(pair)
  }
}

// ---- tokenizer.json -------------------------------------------------------------------------------------------

/**
 * Reads the `tokenizer.json` of a tokenizer like OPT's.
 * @throws InputError JSON_*, TOKENIZER_*; TOKENIZER_UNSUPPORTED names the unsupported feature.
 */
export function parseTokenizerJson(bytes: Uint8Array): Vocabulary {
  const name = 'tokenizer.json'
  const json = parseJson(bytes, name)
  if (!(json instanceof Map)) throw refusal('TOKENIZER_VOCAB', name, 'an object', describeJson(json))
  const model = json.get('model')
  if (!(model instanceof Map))
    throw refusal('TOKENIZER_VOCAB', `${name} model`, 'an object', describeJson(model))
  checkSupported(json, model)
  const ids = readIds(model.get('vocab'), `${name} vocab`)
  const special = addTokens(ids, json.get('added_tokens'))
  const list = model.get('merges')
  if (!Array.isArray(list)) throw refusal('TOKENIZER_MERGES', `${name} merges`, 'a list', describeJson(list))
  const merges = list.map((merge, i) => {
    const parts = typeof merge === 'string' ? merge.split(' ') : merge
    return readPair(Array.isArray(parts) ? parts : [parts], `${name} merge ${i + 1}`)
  })
  return checkVocabulary(ids, merges, special, name)
}

/** Adds the added tokens; those of the vocabulary must have the same ids. */
function addTokens(ids: Map<string, number>, list: JsonValue | undefined): Set<string> {
  const special = new Set(specialTokens)
  if (list === undefined || list === null) return special
  const name = 'tokenizer.json added_tokens'
  if (!Array.isArray(list)) throw refusal('TOKENIZER_VOCAB', name, 'a list', describeJson(list))
  for (const item of list) {
    const content = item instanceof Map ? item.get('content') : undefined
    if (!(item instanceof Map) || typeof content !== 'string' || content === '') {
      throw refusal('TOKENIZER_VOCAB', name, 'objects with content and id', describeJson(item))
    }
    const id = checkId(item.get('id'), () => `${name} ${quote(content)}`)
    const known = ids.get(content)
    if (known !== undefined && known !== id) {
      throw refusal(
        'TOKENIZER_VOCAB',
        `${name} ${quote(content)}`,
        `id ${known} as in the vocabulary`,
        `${id}`,
      )
    }
    ids.set(content, id)
    special.add(content)
  }
  return special
}

function checkSupported(json: JsonMap, model: JsonMap): void {
  const check = (what: string, expected: string, fits: boolean, value: JsonValue | undefined): void => {
    if (fits) return
    throw refusal('TOKENIZER_UNSUPPORTED', `tokenizer.json ${what}`, expected, describeJson(value))
  }
  const type = model.get('type')
  check('model.type', '"BPE"', type === 'BPE', type)
  for (const option of [
    'dropout',
    'continuing_subword_prefix',
    'end_of_word_suffix',
    'byte_fallback',
    'ignore_merges',
  ]) {
    const value = model.get(option)
    check(`model.${option}`, 'none', !value, value)
  }
  const normalizer = json.get('normalizer')
  check('normalizer', 'none', !normalizer, normalizer)
  const splitter = json.get('pre_tokenizer')
  const field = (key: string): JsonValue | undefined =>
    splitter instanceof Map ? splitter.get(key) : splitter
  check('pre_tokenizer.type', '"ByteLevel"', field('type') === 'ByteLevel', field('type'))
  check(
    'pre_tokenizer.add_prefix_space',
    'false',
    field('add_prefix_space') === false,
    field('add_prefix_space'),
  )
  check('pre_tokenizer.use_regex', 'true', field('use_regex') !== false, field('use_regex'))
}
