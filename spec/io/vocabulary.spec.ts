/**
 * The files of a vocabulary: whatever is in them, the answer is a tokenizer that gives text back, or a typed error.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTokenizer } from '../../src/io/tokenizer.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { parseVocabularyFiles, type Vocabulary } from '../../src/io/vocabulary.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { law } from '../harness/seed.ts'
import { concat } from '../../fixtures/hostile/bytes.ts'
import {
  smallModel as model,
  smallTokenizer as base,
  smallVocab,
  vocabText,
} from '../../fixtures/hostile/tokenizer.ts'
import { answerOf } from './hostile.ts'

const files = (vocab: Uint8Array, merges: string | Uint8Array) => (): Vocabulary =>
  parseVocabularyFiles(vocab, concat(merges))

describe('vocabulary files', () => {
  test('lines may end as on Windows, and the version line may be missing', () => {
    const encode = (merges: string): number[] => createTokenizer(files(vocabText(), merges)()).encode('abc')
    const expected = [2, smallVocab.get('abc')]
    for (const merges of ['#version: 0.2\na b\nab c\n', 'a b\r\nab c\r\n', 'a b\nab c']) {
      expect(encode(merges)).toEqual(expected)
    }
  })

  test.each(['4.0', '4e0', '-4', '04'])('an id is written in digits, and %s is refused', (id) => {
    const text = new TextDecoder().decode(vocabText())
    const with4 = (written: string): Uint8Array => concat(text.replace(/:4([,}])/, `:${written}$1`))
    expect(with4('4')).toEqual(concat(text))
    expect(with4(id)).not.toEqual(concat(text))
    expect(files(with4(id), '')).toThrow(/^vocab\.json.* expected digits, up to 2\^53 - 1, got /)
  })

  law(
    'a vocabulary may hold any names that objects inherit',
    { token: fc.constantFrom('__proto__', 'constructor', 'toString') },
    ({ token }) => {
      const made = createTokenizer(files(vocabText([[token, 900]]), '')())
      expect(made.decode([900])).toBe(token)
      expect(made.decode(made.encode(token, { prefix: false }))).toBe(token)
    },
  )

  law(
    'damaged anywhere are read or refused',
    { position: fc.nat(), value: fc.nat(255), inMerges: fc.boolean() },
    async ({ position, value, inMerges }) => {
      const vocab = vocabText()
      const merges = concat('#version: 0.2\na b\nab c\n')
      const damaged = inMerges ? merges : vocab
      damaged[position % damaged.length] = value
      const answer = await answerOf(() => createTokenizer(parseVocabularyFiles(vocab, merges)))
      if (!(answer instanceof InputError)) expect(answer.decode(answer.encode('abc Ġ é'))).toBe('</s>abc Ġ é')
    },
  )
})

describe('tokenizer.json', () => {
  const parse = (json: unknown): Vocabulary => parseTokenizerJson(concat(JSON.stringify(json)))

  test('equals the two files, with merges in either form', () => {
    const both = files(vocabText(), 'a b\nab c\n')()
    expect(parse(base)).toEqual(both)
    expect(
      parse({
        ...base,
        model: {
          ...model,
          merges: [
            ['a', 'b'],
            ['ab', 'c'],
          ],
        },
      }),
    ).toEqual(both)
  })

  test('adds its added tokens, which stand for themselves', () => {
    const made = createTokenizer(
      parse({
        ...base,
        added_tokens: [
          { id: 2, content: '</s>' },
          { id: 500, content: '[中 文]' },
        ],
      }),
    )
    expect(made.decode([500, 2])).toBe('[中 文]</s>')
    expect(made.decode([500, 2], { skipSpecial: true })).toBe('')
    expect(made.encode('[中 文]', { prefix: false })).not.toContain(500)
  })
})
