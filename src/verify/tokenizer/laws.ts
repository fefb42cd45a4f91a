/**
 * Laws of the tokenizer: text comes back, ids are those of BPE by its definition (so no text gives a special id), and a
 * stream says what decoding says.
 */
import fc from 'fast-check'
import { same, sameBits } from '../compare.ts'
import { lawForAll, type Law } from '../law.ts'
import { plainBytes, plainEncode, plainText, texts, type Tokenizing } from './cases.ts'

/** A law of tokenizers. */
export type TokenizerLaw = Law<Tokenizing>

/** @throws Error with both texts */
function sameText(what: string, actual: string, expected: string): void {
  if (actual !== expected)
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`)
}

/** Ids, some of which have no token. */
const anyIds = fc.array(fc.nat(0xffff), { maxLength: 60, size: 'max' })

export const tokenizerLaws = {
  isBpe: lawForAll(
    'ids are those of BPE by its definition',
    { text: texts },
    ({ tokenizer, vocabulary }: Tokenizing, { text }) =>
      sameBits('ids', tokenizer.encode(text, { prefix: false }), plainEncode(text, vocabulary)),
  ),

  comesBack: lawForAll(
    'decode(encode(text)) = text, for every well-formed text',
    { text: texts, prefix: fc.boolean() },
    ({ tokenizer, vocabulary }: Tokenizing, { text, prefix }) => {
      const ids = tokenizer.encode(text, { prefix })
      sameText(
        'text',
        tokenizer.decode(prefix ? ids.slice(vocabulary.prefix.length) : ids),
        plainText(text, vocabulary),
      )
    },
  ),

  streamIsDecode: lawForAll(
    'a stream gives, piece by piece, what decoding gives at once, for any ids',
    { drawn: anyIds, skipSpecial: fc.boolean() },
    ({ tokenizer, vocabulary }: Tokenizing, { drawn, skipSpecial }) => {
      const ids = drawn.map((id) => id % (tokenizer.vocabularySize + 50))
      const stream = tokenizer.stream({ skipSpecial })
      const pieces = ids.map((id) => stream.push(id))
      const decoded = tokenizer.decode(ids, { skipSpecial })
      sameText('pieces', pieces.join('') + stream.end(), decoded)
      const bytes = plainBytes(ids, skipSpecial, vocabulary)
      sameText('text', decoded, new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes))
    },
  ),

  streamIsWhole: lawForAll(
    'a stream never shows half a character',
    { text: texts },
    ({ tokenizer, vocabulary }: Tokenizing, { text }) => {
      const stream = tokenizer.stream()
      const whole = plainText(text, vocabulary)
      let shown = ''
      for (const id of tokenizer.encode(text, { prefix: false })) {
        shown += stream.push(id)
        sameText('so far', shown, whole.slice(0, shown.length))
      }
      sameText('the rest', stream.end(), '')
      same('length', shown.length, whole.length)
    },
  ),
} satisfies Record<string, TokenizerLaw>
