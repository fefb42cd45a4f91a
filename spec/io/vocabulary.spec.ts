/**
 * The files of a vocabulary: whatever is in them, the answer is a tokenizer that gives text back, or a typed error.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTokenizer } from '../../src/io/tokenizer.ts'
import {
  byteCharacters,
  parseTokenizerJson,
  parseVocabularyFiles,
  specialTokens,
  type Vocabulary,
} from '../../src/io/vocabulary.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { law } from '../harness/seed.ts'
import { concat } from '../../fixtures/hostile/bytes.ts'
import { answerOf, refusalOf } from './hostile.ts'

const smallVocab = new Map<string, number>(
  [...specialTokens, ...byteCharacters, 'ab', 'abc'].map((token, i) => [token, i]),
)
const vocabText = (changes: [string, unknown][] = []): Uint8Array =>
  concat(
    `{${[...new Map<string, unknown>([...smallVocab, ...changes])].flatMap(([k, v]) => (v === undefined ? [] : [`${JSON.stringify(k)}:${JSON.stringify(v)}`])).join()}}`,
  )
const files = (vocab: Uint8Array, merges: string | Uint8Array) => (): Vocabulary =>
  parseVocabularyFiles(vocab, concat(merges))

describe('vocabulary files', () => {
  test.each<[string, string, () => Vocabulary]>([
    ['not JSON', 'JSON_SYNTAX', files(concat('x'), '')],
    ['TK03 not UTF-8', 'JSON_ENCODING', files(vocabText(), Uint8Array.of(0xc3))],
    ['TK03 a lone surrogate', 'JSON_SURROGATE', files(concat('{"\\ud800":0}'), '')],
    ['a list', 'TOKENIZER_VOCAB', files(concat('[]'), '')],
    ['a token twice', 'JSON_DUPLICATE', files(concat('{"a":0,"a":1}'), '')],
    ['an id twice', 'TOKENIZER_VOCAB', files(vocabText([['ab', 1]]), '')],
    ['a negative id', 'JSON_NUMBER', files(vocabText([['ab', -1]]), '')],
    ['a broken id', 'JSON_NUMBER', files(vocabText([['ab', 0.5]]), '')],
    ['an id of text', 'TOKENIZER_VOCAB', files(vocabText([['ab', '1']]), '')],
    ['a huge id', 'TOKENIZER_VOCAB', files(vocabText([['ab', 1_000_000]]), '')],
    ['a byte without a token', 'TOKENIZER_VOCAB', files(vocabText([['Ġ', undefined]]), '')],
    ['no </s>', 'TOKENIZER_VOCAB', files(vocabText([['</s>', undefined]]), '')],
    ['a token that is not of bytes', 'TOKENIZER_VOCAB', files(vocabText([['中', 900]]), '')],
    ['TK01 a merge twice', 'TOKENIZER_MERGES', files(vocabText(), 'a b\na b\n')],
    ['TK01 one token', 'TOKENIZER_MERGES', files(vocabText(), 'a\n')],
    ['TK01 three tokens', 'TOKENIZER_MERGES', files(vocabText(), 'a b c\n')],
    ['TK01 an empty line', 'TOKENIZER_MERGES', files(vocabText(), 'a b\n\nab c\n')],
    ['TK01 a merge of an unknown token', 'TOKENIZER_MERGES', files(vocabText(), 'a xyz\n')],
    ['TK01 a merge to an unknown token', 'TOKENIZER_MERGES', files(vocabText(), 'b a\n')],
    ['TK01 a header that comes late', 'TOKENIZER_MERGES', files(vocabText(), 'a b\n#version: 0.2\n')],
    [
      'TK04 merges that build </s>',
      'TOKENIZER_MERGES',
      files(
        vocabText([
          ['</', 900],
          ['s>', 901],
        ]),
        '< /\ns >\n</ s>\n',
      ),
    ],
  ])('%s: %s', async (_, code, parse) => {
    expect((await refusalOf(parse)).code).toBe(code)
  })

  test('TK01 millions of merges are cut off by the limit, in bounded time', async () => {
    const start = performance.now()
    const text = 'a b\n'.repeat(1_000_001)
    expect((await refusalOf(files(vocabText(), text))).code).toBe('TOKENIZER_LIMIT')
    expect(performance.now() - start).toBeLessThan(20_000)
  })

  test('lines may end as on Windows, and the version line may be missing', () => {
    const encode = (merges: string): number[] => createTokenizer(files(vocabText(), merges)()).encode('abc')
    const expected = [2, smallVocab.get('abc')]
    for (const merges of ['#version: 0.2\na b\nab c\n', 'a b\r\nab c\r\n', 'a b\nab c']) {
      expect(encode(merges)).toEqual(expected)
    }
  })

  law(
    'a vocabulary with any tokens that objects inherit works',
    [fc.constantFrom('__proto__', 'constructor', 'toString')],
    (token) => {
      const made = createTokenizer(files(vocabText([[token, 900]]), '')())
      expect(made.decode([900])).toBe(token)
      expect(made.decode(made.encode(token, { prefix: false }))).toBe(token)
    },
  )

  law(
    'damaged anywhere are read or refused',
    [fc.nat(), fc.nat(255), fc.boolean()],
    async (position, value, inMerges) => {
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
  const model = { type: 'BPE', vocab: Object.fromEntries(smallVocab), merges: ['a b', 'ab c'] }
  const splitter = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const base = {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: splitter,
    post_processor: null,
    decoder: null,
    model,
  }
  const parse = (json: unknown): Vocabulary => parseTokenizerJson(concat(JSON.stringify(json)))

  test('says the same as the two files, with merges in either form', () => {
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

  test.each([
    ['TOKENIZER_VOCAB', []],
    ['TOKENIZER_VOCAB', { ...base, model: null }],
    ['TOKENIZER_VOCAB', { ...base, model: { ...model, vocab: [] } }],
    ['TOKENIZER_VOCAB', { ...base, added_tokens: [{ id: 7, content: '</s>' }] }],
    ['TOKENIZER_VOCAB', { ...base, added_tokens: [{ id: 7, content: 'new' }] }],
    ['TOKENIZER_VOCAB', { ...base, added_tokens: ['new'] }],
    ['TOKENIZER_VOCAB', { ...base, added_tokens: {} }],
    ['TOKENIZER_MERGES', { ...base, model: { ...model, merges: null } }],
    ['TOKENIZER_MERGES', { ...base, model: { ...model, merges: [1] } }],
    ['TOKENIZER_MERGES', { ...base, model: { ...model, merges: [['a', 'b', 'c']] } }],
    ['TOKENIZER_UNSUPPORTED', { ...base, model: { ...model, type: 'WordPiece' } }],
    ['TOKENIZER_UNSUPPORTED', { ...base, model: { ...model, byte_fallback: true } }],
    ['TOKENIZER_UNSUPPORTED', { ...base, model: { ...model, dropout: 0.1 } }],
    ['TOKENIZER_UNSUPPORTED', { ...base, normalizer: { type: 'Lowercase' } }],
    ['TOKENIZER_UNSUPPORTED', { ...base, pre_tokenizer: { type: 'Whitespace' } }],
    ['TOKENIZER_UNSUPPORTED', { ...base, pre_tokenizer: null }],
    ['TOKENIZER_UNSUPPORTED', { ...base, pre_tokenizer: { ...splitter, add_prefix_space: true } }],
    ['TOKENIZER_UNSUPPORTED', { ...base, pre_tokenizer: { ...splitter, use_regex: false } }],
  ])('%s: %j', async (code, json) => {
    expect((await refusalOf(() => parse(json))).code).toBe(code)
  })
})
