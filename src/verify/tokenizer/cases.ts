/**
 * Texts and vocabularies to draw from, and byte-level BPE by its definition.
 */
import fc from 'fast-check'
import { Data } from '../../testing/seeded_data.ts'
import { createTokenizer, type Tokenizer } from '../../io/tokenizer.ts'
import { byteCharacters, specialTokens, type Vocabulary } from '../../io/vocabulary.ts'

/** What the laws of the tokenizer judge: a tokenizer, and the vocabulary it is said to have. */
export interface Tokenizing {
  readonly tokenizer: Tokenizer
  readonly vocabulary: Vocabulary
}

/** Whole characters of every kind: ASCII, of two, three and four bytes, joined ones, marks, white space. */
const characters = fc.oneof(
  fc.constantFrom(
    ...'aet ,.\n\t\r\u00a0\u2028\ufeff\u0085',
    'é',
    'ß',
    '中',
    '😀',
    '👩‍👩‍👧',
    'e\u0301',
    "'s",
    "'ll",
    ' the',
    '</s>',
    '<pad>',
  ),
  fc
    .string({ unit: 'binary', minLength: 1, maxLength: 3, size: 'max' })
    .filter((text) => text.isWellFormed()),
)

/** Well-formed texts of up to some thirty characters. */
export const texts: fc.Arbitrary<string> = fc
  .array(characters, { maxLength: 30, size: 'max' })
  .map((list) => list.join(''))

/** A vocabulary of the special tokens, the bytes, and some merges of whatever was there before them. */
function makeVocabulary(seed: number): Vocabulary {
  const data = new Data(seed)
  const tokens = [...byteCharacters]
  // Merges of letters that texts have, more often than not: of others nothing would be seen.
  const common = [...'aethslAE', ...[0x20, 0xc3, 0xa9, 0xf0, 0x9f].map((byte) => byteCharacters[byte])]
  const merges: [string, string][] = []
  for (let n = data.integer(0, 60); n > 0; n--) {
    const latest = tokens.slice(byteCharacters.length)
    const pick = (): string => data.pick(data.chance(0.7) ? [...common, ...latest] : tokens)
    const [left, right] = [pick(), pick()]
    if (tokens.includes(left + right)) continue
    merges.push([left, right])
    tokens.push(left + right)
  }
  const ids = new Map([...specialTokens, ...tokens].map((token, id) => [token, id]))
  return { ids, merges, special: new Set(specialTokens) }
}

/** A tokenizer of such a vocabulary. */
export function makeTokenizing(seed: number): Tokenizing {
  const vocabulary = makeVocabulary(seed)
  return { tokenizer: createTokenizer(vocabulary), vocabulary }
}

/** BPE by its definition: of all adjacent pairs, the one with the lowest rank is joined, the leftmost first. */
export function plainEncode(text: string, { ids, merges }: Vocabulary): number[] {
  const ranks = new Map(merges.map(([left, right], rank) => [`${left} ${right}`, rank]))
  const words = text.match(/'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu) ?? []
  return words.flatMap((word) => {
    const parts = [...new TextEncoder().encode(word)].map((byte) => byteCharacters[byte])
    for (;;) {
      const rank = parts.slice(1).map((right, i) => ranks.get(`${parts[i]} ${right}`) ?? Infinity)
      const best = Math.min(...rank)
      if (best === Infinity) return parts.map((part) => ids.get(part) as number)
      const at = rank.indexOf(best)
      parts.splice(at, 2, parts[at] + parts[at + 1])
    }
  })
}

/** The bytes of ids, one token after the other; an id without a token is that of `<unk>`. */
export function plainBytes(
  ids: readonly number[],
  skipSpecial: boolean,
  { ids: known }: Vocabulary,
): Uint8Array {
  const tokens = new Map([...known].map(([token, id]) => [id, token]))
  const bytes = ids
    .map((id) => tokens.get(id) ?? '<unk>')
    .filter((token) => !skipSpecial || !specialTokens.includes(token))
    .flatMap((token) => [...token].map((char) => byteCharacters.indexOf(char)))
  return Uint8Array.from(bytes)
}
