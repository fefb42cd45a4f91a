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
import { byteCharacters, parseVocabularyFiles, type Vocabulary } from '../../src/io/vocabulary.ts'
import { law } from '../harness/seed.ts'
import { refusalOf } from './hostile.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tiny = join(root, 'fixtures/tiny-opt')
const vocabFile = readFileSync(join(tiny, 'vocab.json'))
const mergesFile = readFileSync(join(tiny, 'merges.txt'))
const vocabulary = parseVocabularyFiles(vocabFile, mergesFile)
const tokenizer = createTokenizer(vocabulary)

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
  fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }).filter((text) => text.isWellFormed()),
)
const texts = fc.array(characters, { maxLength: 30 }).map((list) => list.join(''))

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

  law('are those of BPE by its definition', [texts], (text) => {
    expect(tokenizer.encode(text, { prefix: false })).toEqual(plainEncode(text, vocabulary))
  })
})

/** BPE by its definition: of all adjacent pairs, the one with the lowest rank is joined, the leftmost first. */
function plainEncode(text: string, { ids, merges }: Vocabulary): number[] {
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

describe('decode(encode(text)) = text', () => {
  law('for every well-formed text', [texts, fc.boolean()], (text, prefix) => {
    const ids = tokenizer.encode(text, { prefix })
    expect(tokenizer.decode(prefix ? ids.slice(1) : ids)).toBe(text)
  })

  law(
    'for text in any script, and of any characters',
    [fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }))],
    (text) => {
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
  const anyIds = fc.array(fc.oneof(fc.nat(4095), fc.nat(5000)), { maxLength: 60 })

  law(
    'gives, piece by piece, what decoding gives at once, for any ids',
    [anyIds, fc.boolean()],
    (ids, skipSpecial) => {
      const stream = tokenizer.stream({ skipSpecial })
      const pieces = ids.map((id) => stream.push(id))
      expect(pieces.join('') + stream.end()).toBe(tokenizer.decode(ids, { skipSpecial }))
      expect(tokenizer.decode(ids, { skipSpecial })).toBe(
        new TextDecoder('utf-8', { ignoreBOM: true }).decode(plainBytes(ids, skipSpecial)),
      )
    },
  )

  law('never shows half a character', [texts], (text) => {
    const stream = tokenizer.stream()
    let shown = ''
    for (const id of tokenizer.encode(text, { prefix: false })) {
      shown += stream.push(id)
      expect(text.startsWith(shown)).toBe(true)
    }
    expect(stream.end()).toBe('')
    expect(shown).toBe(text)
  })

  test('that ends inside a character says so once, and can be used again', () => {
    const [first] = tokenizer.encode('😀', { prefix: false })
    const stream = tokenizer.stream()
    expect([stream.push(first), stream.end()]).toEqual(['', '\ufffd'])
    expect([stream.push(first), stream.end()]).toEqual(['', '\ufffd'])
  })

  function plainBytes(ids: number[], skipSpecial: boolean): Uint8Array {
    const tokens = new Map([...vocabulary.ids].map(([token, id]) => [id, token]))
    const bytes = ids
      .map((id) => (tokens.has(id) ? id : 3))
      .filter((id) => !skipSpecial || id > 3)
      .flatMap((id) => [...(tokens.get(id) as string)].map((char) => byteCharacters.indexOf(char)))
    return Uint8Array.from(bytes)
  }
})

describe('hostile text', () => {
  law('TK04 no text gives a special id', [texts], (text) => {
    for (const id of tokenizer.encode(text, { prefix: false })) expect(id).toBeGreaterThan(3)
  })

  test.each([-1, 0.5, NaN, Infinity, -0.1])('token %s is refused', async (id) => {
    expect((await refusalOf(() => tokenizer.decode([id]))).code).toBe('TOKEN_ID')
  })

  test('an id without a token is unknown', () => {
    expect(tokenizer.decode([5000])).toBe('<unk>')
    expect(tokenizer.decode([5000, 2 ** 40], { skipSpecial: true })).toBe('')
  })
})

test('a folder has the pair of files, or the one file, or none, but not half a pair', async () => {
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

  test('decodes as the library does', async () => {
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
