/**
 * The vocabulary of a GGUF file, from its entries `tokenizer.ggml.*`.
 *
 * Two models are supported: `gpt2`, byte-level BPE with a named way of cutting text (`pre`), and `llama`, the BPE of
 * SentencePiece with byte fallback. A `llama` file has no merges but a score for each piece. A merge is made of every way to
 * join two pieces into a third one, ordered by the score of the third and then by length, the higher first, as transformers
 * converts such a model.
 *
 * Tokens that are not marked as normal or as a byte are special here: text never becomes one.
 */
import type { GgufEntries } from './gguf_entries.ts'
import { refusal } from './refusal.ts'
import {
  byteTokens,
  checkId,
  checkVocabulary,
  readPair,
  specialTokens,
  type Spelling,
  type Vocabulary,
} from './vocabulary.ts'

const [NORMAL, BYTE] = [1, 6]

/** How text is cut into words, by the name that llama.cpp gives it. */
const splitters = {
  'gpt-2': { patterns: ['gpt-2'], composed: false, ignoreMerges: false },
  smollm: { patterns: ['digit', 'gpt-2'], composed: false, ignoreMerges: false },
  'llama-bpe': { patterns: ['llama-bpe'], composed: false, ignoreMerges: true },
  // tokenizer.json of Qwen2 brings text to normal form C first. llama.cpp does not, and its ids are what a GGUF file promises.
  qwen2: { patterns: ['qwen2'], composed: false, ignoreMerges: false },
} as const
const splitterNames = Object.keys(splitters) as (keyof typeof splitters)[]

/** All the ways to cut all pieces in two that are looked at. A vocabulary of 32,000 pieces has 200,000. */
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
  for (const [id, token] of tokens.entries()) {
    const other = ids.get(token)
    if (other !== undefined)
      throw refusal('TOKENIZER_VOCAB', `${file} token ${id}`, 'a token once', `that of ${other} again`)
    checkId(id, () => `${file} token ${id}`)
    ids.set(token, id)
    const type = types?.[id] ?? NORMAL
    if (type !== NORMAL && type !== BYTE) special.add(token)
  }
  const idOf = (name: string): number[] =>
    entries.has(key(name)) ? [checkKnown(entries.whole(key(name)), tokens, `${file} ${key(name)}`)] : []
  const spelling: Spelling = isByteLevel
    ? { kind: 'byte_level', ...splitters[entries.oneOf(key('pre'), splitterNames)] }
    : { kind: 'byte_fallback', space: entries.flag(key('add_space_prefix'), true) ? 'always' : 'never' }
  // llama.cpp puts the first token before a text of these two unless the file says otherwise.
  const begins = !isByteLevel || entries.text(key('pre')) === 'llama-bpe'
  return checkVocabulary(
    {
      ids,
      special,
      spelling,
      merges: isByteLevel
        ? entries.texts(key('merges')).map((merge, i) => readPair(merge.split(' '), `${file} merge ${i + 1}`))
        : mergesOf(tokens, special, entries.numbers(key('scores'), tokens.length), file),
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

/** The merges that scores stand for. */
function mergesOf(
  tokens: readonly string[],
  special: ReadonlySet<string>,
  scores: ArrayLike<number>,
  file: string,
): (readonly [string, string])[] {
  const pieces = new Map<string, number>()
  const bytes = new Set(byteTokens)
  for (const [id, token] of tokens.entries())
    if (!special.has(token) && !bytes.has(token)) pieces.set(token, scores[id])
  const found: { left: string; right: string; score: number }[] = []
  let cuts = 0
  for (const [piece, score] of pieces) {
    // The work of a cut is as long as the piece.
    cuts += piece.length * piece.length
    if (cuts > MAX_CUTS) throw refusal('TOKENIZER_LIMIT', file, 'shorter pieces', 'too many ways to cut them')
    for (let at = 1; at < piece.length; at++) {
      const [left, right] = [piece.slice(0, at), piece.slice(at)]
      if (pieces.has(left) && pieces.has(right)) found.push({ left, right, score })
    }
  }
  const lengthOf = (text: string): number => [...text].length
  return found
    .toSorted(
      (a, b) =>
        b.score - a.score || lengthOf(b.left) - lengthOf(a.left) || lengthOf(b.right) - lengthOf(a.right),
    )
    .map(({ left, right }) => [left, right])
}
