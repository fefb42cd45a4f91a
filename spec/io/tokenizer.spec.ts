/**
 * The tokenizer: text comes back, text is never more than text, and its work is bounded.
 *
 * Held against three things: the embedded model's known ids, a plain BPE written from its definition, and - where
 * the data is at hand - the published tokenizer of OPT and its known answers.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Tokenizer as Library } from '@huggingface/tokenizers'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTokenizer, openTokenizer, type Tokenizer } from '../../src/io/tokenizer.ts'
import { parseVocabularyFiles } from '../../src/io/vocabulary.ts'
import type { Tokenizing } from '../../src/verify/tokenizer/cases.ts'
import { tokenizerLaws, type TokenizerLaw } from '../../src/verify/tokenizer/laws.ts'
import { killsByLaw, law, stateLaw } from '../harness/seed.ts'
import { refusalOf } from './hostile.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tiny = join(root, 'fixtures/tiny-opt')
const vocabFile = readFileSync(join(tiny, 'vocab.json'))
const mergesFile = readFileSync(join(tiny, 'merges.txt'))
const vocabulary = parseVocabularyFiles(vocabFile, mergesFile)
const tokenizer = createTokenizer(vocabulary)

/** What the laws of src/verify judge here; `verify` gives them vocabularies made at random. */
const tokenizing: Tokenizing = { tokenizer, vocabulary }

/** States laws of it. */
function state(...laws: TokenizerLaw[]): void {
  for (const one of laws) stateLaw(one, tokenizing)
}

describe('ids', () => {
  const expected = JSON.parse(readFileSync(join(tiny, 'expected.json'), 'utf8')) as Record<string, unknown>[]
  test.each(
    expected.map(({ text, input_ids, greedy_ids, greedy_text }) => ({
      text,
      input_ids,
      greedy_ids,
      greedy_text,
    })),
  )('of the embedded model: $text', (row) => {
    expect(tokenizer.encode(row.text as string)).toEqual(row.input_ids)
    expect(tokenizer.encode(row.text as string, { prefix: false })).toEqual(
      (row.input_ids as number[]).slice(1),
    )
    expect(tokenizer.decode(row.input_ids as number[])).toBe(`</s>${row.text}`)
    expect(tokenizer.decode(row.input_ids as number[], { skipSpecial: true })).toBe(row.text)
    expect(tokenizer.decode(row.greedy_ids as number[])).toBe(row.greedy_text)
  })

  test('of the special tokens', () => {
    expect(tokenizer.special).toEqual({ beginning: 0, padding: 1, end: 2, unknown: 3 })
    expect(tokenizer.vocabularySize).toBe(4096)
    expect(tokenizer.encode('')).toEqual([2])
    expect(tokenizer.encode('', { prefix: false })).toEqual([])
  })

  state(tokenizerLaws.isBpe)
})

describe('decode(encode(text)) = text', () => {
  state(tokenizerLaws.comesBack)

  law(
    'for text in any script, and of any characters',
    { text: fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' })) },
    ({ text }) => {
      fc.pre(text.isWellFormed())
      expect(tokenizer.decode(tokenizer.encode(text, { prefix: false }))).toBe(text)
    },
  )

  test('for each single byte that is a text, and each character of the basic plane in one text', () => {
    const plane = Array.from({ length: 0x10000 }, (_, code) => code).filter(
      (code) => code < 0xd800 || code > 0xdfff,
    )
    const text = String.fromCharCode(...plane.slice(0, 30000)) + String.fromCharCode(...plane.slice(30000))
    expect(tokenizer.decode(tokenizer.encode(text, { prefix: false }))).toBe(text)
  })
})

describe('a stream', () => {
  state(tokenizerLaws.streamIsDecode, tokenizerLaws.streamIsWhole)

  test('that ends inside a character reports it once, and can be reused', () => {
    const [first] = tokenizer.encode('😀', { prefix: false })
    const stream = tokenizer.stream()
    expect([stream.push(first), stream.end()]).toEqual(['', '\ufffd'])
    expect([stream.push(first), stream.end()]).toEqual(['', '\ufffd'])
  })
})

describe('hostile text', () => {
  test.each([-1, 0.5, NaN, Infinity, -0.1])('token %s is refused', async (id) => {
    expect((await refusalOf(() => tokenizer.decode([id]))).code).toBe('TOKEN_ID')
  })

  test('an id without a token is unknown', () => {
    expect(tokenizer.decode([5000])).toBe('<unk>')
    expect(tokenizer.decode([5000, 2 ** 40], { skipSpecial: true })).toBe('')
  })
})

test('a folder has both files, or the single file, or none, but not one of the pair', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-tokenizer-'))
  try {
    expect(await openTokenizer(folder)).toBeNull()
    writeFileSync(join(folder, 'vocab.json'), vocabFile)
    expect((await refusalOf(() => openTokenizer(folder))).code).toBe('TOKENIZER_FILES')
    writeFileSync(join(folder, 'merges.txt'), mergesFile)
    expect((await openTokenizer(folder))?.encode('Once')).toEqual(tokenizer.encode('Once'))
    rmSync(join(folder, 'vocab.json'))
    expect((await refusalOf(() => openTokenizer(folder))).code).toBe('TOKENIZER_FILES')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

describe('mutants of the tokenizer', () => {
  /** The tokenizer with something wrong. */
  const wrong = (change: Partial<Tokenizer>): Tokenizing => ({
    vocabulary,
    tokenizer: Object.assign(Object.create(tokenizer) as Tokenizer, change),
  })
  const { ids } = vocabulary
  const bytesAlone = createTokenizer({ ...vocabulary, merges: [] })

  killsByLaw(tokenizerLaws, {
    isBpe: {
      'nothing is merged': wrong({ encode: (text, options) => bytesAlone.encode(text, options) }),
      'text that spells a special token is that token': wrong({
        encode: (text) =>
          text.includes('</s>') ? [ids.get('</s>') as number] : tokenizer.encode(text).slice(1),
      }),
    },
    comesBack: {
      'white space is trimmed': wrong({ decode: (list) => tokenizer.decode(list).trim() }),
    },
    streamIsWhole: {
      'a stream decodes each token for itself': wrong({
        stream: () => ({ push: (id) => tokenizer.decode([id]), end: () => '' }),
      }),
    },
    streamIsDecode: {
      'a stream forgets to leave out special tokens': wrong({ stream: () => tokenizer.stream() }),
    },
  })
})

// ---- The published tokenizer ----------------------------------------------------------------------------------

const data = process.env.SHADOWLLM_DATA ?? join(root, '../shared/data')
const published = join(data, 'opt-tokenizer')

describe.skipIf(!existsSync(published))('the published tokenizer of OPT', () => {
  let opened: Promise<Tokenizer | null> | undefined
  const open = async (): Promise<Tokenizer> => (await (opened ??= openTokenizer(published))) as Tokenizer

  test.each([
    ['Hello world! cécé herlolip', [31414, 232, 328, 740, 1140, 12695, 69, 46078, 1588]],
    ['a woman sitting on the beach with a dog\n', [102, 693, 2828, 15, 5, 4105, 19, 10, 2335, 50118]],
    [" it's not a city, it's a beach\n", [24, 18, 45, 10, 343, 6, 24, 18, 10, 4105, 50118]],
    ['A photo of a cat', [250, 1345, 9, 10, 4758]],
  ])('%j has its known ids', async (text, ids) => {
    const made = await open()
    expect(made.encode(text)).toEqual([2, ...ids])
    expect(made.decode(ids)).toBe(text)
  })

  test.skipIf(!existsSync(join(data, 'wikitext-2/wiki.valid.raw')))(
    'WikiText-2 has its known length and comes back',
    async () => {
      const made = await open()
      const text = readFileSync(join(data, 'wikitext-2/wiki.valid.raw'), 'utf8')
      const ids = made.encode(text, { prefix: false })
      expect(ids).toHaveLength(249_887)
      expect(made.decode(ids)).toBe(text)
    },
  )

  test('decodes like the library', async () => {
    const made = await open()
    const merges = readFileSync(join(published, 'merges.txt'), 'utf8').split('\n').slice(1, -1)
    const vocab = JSON.parse(readFileSync(join(published, 'vocab.json'), 'utf8')) as Record<string, number>
    const special = Object.entries(vocab).filter(([, id]) => id < 4)
    const library = new Library(
      {
        added_tokens: special.map(([content, id]) => ({ content, id, special: true })),
        normalizer: null,
        pre_tokenizer: null,
        post_processor: null,
        decoder: { type: 'ByteLevel' },
        model: { type: 'BPE', unk_token: '<unk>', vocab, merges },
      },
      { clean_up_tokenization_spaces: false },
    )
    fc.assert(
      fc.property(fc.array(fc.nat(50264), { minLength: 1, maxLength: 50 }), (ids) => {
        expect(made.decode(ids.filter((id) => id > 3))).toBe(
          library.decode(ids, { skip_special_tokens: true }),
        )
      }),
    )
  })
})
