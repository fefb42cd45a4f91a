/**
 * The vocabulary of a GGUF file, from its entries `tokenizer.ggml.*`.
 *
 * Two models are supported: `gpt2`, byte-level BPE with a named way of cutting text (`pre`), and `llama`, the BPE of
 * SentencePiece with byte fallback. A `llama` file has no merges but a score for each piece (`piece_merges.ts`).
 *
 * Tokens that are not marked as normal or as a byte are special here: text never becomes one. In a `llama` file those that its
 * user defined are cut out of a text as wholes, as Gemma's runs of spaces are.
 */
import type { InputError } from '../tensor/errors.ts'
import type { GgufEntries } from './gguf_entries.ts'
import type { ScoredPieces } from './piece_merges.ts'
import { refusal } from './refusal.ts'
import {
  byteTokens,
  checkId,
  checkVocabulary,
  MAX_TOKENS,
  readPair,
  specialTokens,
  type Spelling,
  type Vocabulary,
} from './vocabulary.ts'

const [NORMAL, USER_DEFINED, BYTE] = [1, 4, 6]

/** How text is cut into words, by the name that llama.cpp gives it. */
const splitters = {
  'gpt-2': { patterns: ['gpt-2'], composed: false, ignoreMerges: false },
  smollm: { patterns: ['digit', 'gpt-2'], composed: false, ignoreMerges: false },
  'llama-bpe': { patterns: ['llama-bpe'], composed: false, ignoreMerges: true },
  // tokenizer.json of Qwen2 brings text to normal form C first. llama.cpp does not, and its ids are what a GGUF file promises.
  qwen2: { patterns: ['qwen2'], composed: false, ignoreMerges: false },
} as const
const splitterNames = Object.keys(splitters) as (keyof typeof splitters)[]

/** The sum of squares of the lengths of pieces. That of the 256,000 pieces of Gemma is a quarter of it. */
const MAX_CUTS = 2 ** 26

/**
 * Reads the vocabulary; null if the file has none.
 * @throws InputError GGUF_ENTRY, GGUF_UNSUPPORTED, TOKENIZER_VOCAB, TOKENIZER_MERGES, TOKENIZER_LIMIT
 */
export function readGgufVocabulary(entries: GgufEntries, file: string): Vocabulary | null {
  const key = (name: string): string => `tokenizer.ggml.${name}`
  if (!entries.has(key('model'))) return null
  const isByteLevel = entries.oneOf(key('model'), ['gpt2', 'llama']) === 'gpt2'
  const tokens = entries.texts(key('tokens'))
  const types = entries.has(key('token_type')) ? entries.numbers(key('token_type'), tokens.length) : null
  const ids = new Map<string, number>()
  const special = new Set(specialTokens)
  const whole: string[] = []
  for (const [id, token] of tokens.entries()) {
    const other = ids.get(token)
    if (other !== undefined)
      throw refusal('TOKENIZER_VOCAB', `${file} token ${id}`, 'a token once', `that of ${other} again`)
    checkId(id, () => `${file} token ${id}`)
    ids.set(token, id)
    const type = types?.[id] ?? NORMAL
    if (type === USER_DEFINED && !isByteLevel && token !== '' && !special.has(token)) whole.push(token)
    else if (type !== NORMAL && type !== BYTE) special.add(token)
  }
  const idOf = (name: string): number[] =>
    entries.has(key(name)) ? [checkKnown(entries.whole(key(name)), tokens, `${file} ${key(name)}`)] : []
  const spelling: Spelling = isByteLevel
    ? { kind: 'byte_level', ...splitters[entries.oneOf(key('pre'), splitterNames)] }
    : {
        kind: 'byte_fallback',
        space: entries.flag(key('add_space_prefix'), true) ? 'always' : 'never',
        ...(whole.length > 0 && { whole }),
      }
  // llama.cpp puts the first token before a text of these two unless the file says otherwise.
  const begins = !isByteLevel || entries.text(key('pre')) === 'llama-bpe'
  return checkVocabulary(
    {
      ids,
      special,
      spelling,
      merges: isByteLevel
        ? readMerges(entries.texts(key('merges')), file)
        : piecesOf(
            tokens,
            new Set([...special, ...whole]),
            entries.numbers(key('scores'), tokens.length),
            file,
          ),
      prefix: entries.flag(key('add_bos_token'), begins) ? idOf('bos_token_id') : [],
      suffix: entries.flag(key('add_eos_token'), false) ? idOf('eos_token_id') : [],
    },
    file,
  )
}

function checkKnown(id: number, tokens: readonly string[], subject: string): number {
  if (id < tokens.length) return id
  throw refusal('TOKENIZER_VOCAB', subject, `an id from 0 to ${tokens.length - 1}`, `${id}`)
}

/** The merges as they are written down. */
function readMerges(merges: readonly string[], file: string): (readonly [string, string])[] {
  if (merges.length > MAX_TOKENS) throw tooMany(file, `${merges.length}`)
  // A part more than there may be says that there are more.
  return merges.map((merge, i) => readPair(merge.split(' ', 4), `${file} merge ${i + 1}`))
}

function tooMany(file: string, got: string): InputError {
  return refusal('TOKENIZER_LIMIT', file, `at most ${MAX_TOKENS} merges`, got)
}

/** The pieces whose scores stand for merges. @param others tokens that are no part of a merge */
function piecesOf(
  tokens: readonly string[],
  others: ReadonlySet<string>,
  scores: ArrayLike<number>,
  file: string,
): ScoredPieces {
  const pieces = new Map<string, { readonly score: number; readonly length: number }>()
  const bytes = new Set(byteTokens)
  let cuts = 0
  for (const [id, token] of tokens.entries()) {
    if (others.has(token) || bytes.has(token)) continue
    // The work of a cut is as long as the piece.
    cuts += token.length * token.length
    if (cuts > MAX_CUTS) throw refusal('TOKENIZER_LIMIT', file, 'shorter pieces', 'too many ways to cut them')
    const score = scores[id]
    // NaN has no place in an order, nor has the difference of two infinities.
    if (!Number.isFinite(score)) {
      const subject = `${file} "tokenizer.ggml.scores" ${id}`
      throw refusal('GGUF_ENTRY', subject, 'a finite number', `${score}`)
    }
    pieces.set(token, { score, length: charactersIn(token) })
  }
  return pieces
}

/** How many characters a text has. */
function charactersIn(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}
